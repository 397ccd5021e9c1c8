//! Rows that belong to one of several tables: a column says to which one, another one to which of its rows. No foreign
//! key can say so, but the values of the first one can.

use super::tables::Table;
use super::{Error, names};
use tokio_postgres::Client;

/// What has more kinds, means something else by them.
const KINDS_MAX: usize = 50;

/// A reference that leads to several tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolymorphicKey {
    /// The column that says to which table.
    pub kind: String,
    /// The column that says to which row.
    pub column: String,
    /// What stands in the first one.
    pub values: Vec<String>,
}

/// The two columns, if a table has such a pair.
fn columns(table: &Table) -> Option<(&str, &str)> {
    let refers = |name: &str| table.foreign_keys.iter().any(|key| key.columns.iter().any(|one| one == name));
    let kinds = table.columns.iter().filter(|column| matches!(column.category, 'S' | 'E'));
    kinds.filter(|column| !refers(&column.name)).find_map(|kind| {
        let is_row = |column: &str| names::is_kind_of(&kind.name, column) && !refers(column);
        let column = table.columns.iter().find(|column| is_row(&column.name))?;
        Some((kind.name.as_str(), column.name.as_str()))
    })
}

/// Finds the pairs, and reads the kinds that there are, where the role may.
pub(super) async fn read(session: &Client, tables: &mut [Table]) -> Result<(), Error> {
    let what = "kinds of references";
    for table in tables.iter_mut().filter(|table| table.is_table() && !table.is_partition) {
        let Some((kind, column)) = columns(table) else { continue };
        let (kind, column) = (kind.to_owned(), column.to_owned());
        let limit = KINDS_MAX as i64 + 1;
        let statement = session
            .query_one(include_str!("../../sql/init/kinds.sql"), &[&table.schema, &table.name, &kind, &limit])
            .await
            .map_err(|source| Error::Catalogue { what, source })?;
        let statement: String = statement.get(0);
        // the role may not look: then nobody knows where it leads
        let Ok(rows) = session.query(statement.as_str(), &[]).await else { continue };
        if rows.len() <= KINDS_MAX {
            let values = rows.iter().map(|row| row.get(0)).collect();
            table.polymorphic = Some(PolymorphicKey { kind, column, values });
        }
    }
    Ok(())
}

/// The value that means a table: its name, however it is written and whatever stands before it (`App\Models\Ticket`).
pub(super) fn value_for<'a>(key: &'a PolymorphicKey, table: &Table) -> Option<&'a str> {
    let means = |value: &&String| {
        let last = value.rsplit(['\\', ':', '.', '/']).next().unwrap_or_default();
        [value.as_str(), last].into_iter().any(|name| names::are_alike(name, &table.name))
    };
    key.values.iter().find(means).map(String::as_str)
}

/// Whether a table is nothing but a part of what its polymorphic reference leads to.
pub(super) fn is_part(table: &Table, wholes: &[&Table]) -> bool {
    let Some(key) = &table.polymorphic else { return false };
    let always = |name: &str| table.column(name).is_some_and(|column| column.not_null);
    let led: Vec<_> = wholes.iter().filter(|whole| value_for(key, whole).is_some()).collect();
    let is_named = led.iter().any(|whole| names::is_part_of(&table.name, &whole.name));
    !led.is_empty() && (is_named || always(&key.kind) && always(&key.column))
}
