//! Lists of names for numbers: small tables that others refer to.

use super::tables::{Column, ForeignKey, Table};
use super::{Error, names};
use tokio_postgres::Client;

/// Lists with more entries are no selections but things of their own.
const LABELS_MAX: usize = 50;
/// What has more columns, describes things.
const COLUMNS_MAX: usize = 12;

/// The column with the texts of a table that may be a list of names for numbers: others refer to it by its key, it
/// refers to nothing itself, and it is small.
pub(super) fn text_column<'a>(table: &'a Table, all: &[Table]) -> Option<&'a str> {
    let is_list = table.is_table()
        && table.primary_key.len() == 1
        && table.rows <= LABELS_MAX as i64
        && table.columns.len() <= COLUMNS_MAX;
    if !is_list {
        return None;
    }
    let refers = |from: &Table| from.foreign_keys.iter().any(|key| key.table == table.oid);
    // what belongs to something, or has parts, is more than a name
    let is_described = table.foreign_keys.iter().any(|key| key.table != table.oid && !is_person(key));
    let has_parts = all.iter().any(|from| refers(from) && names::is_part_of(&from.name, &table.name));
    if is_described || has_parts || !all.iter().any(refers) {
        return None;
    }
    let column = table.columns.iter().filter(|column| column.category == 'S');
    let column = column.min_by_key(|column| names::label_rank(&column.name))?;
    let is_plain = |one: &&Column| {
        one.name == column.name
            || one.name == table.primary_key[0]
            || matches!(one.category, 'B' | 'N')
            || names::is_bookkeeping(&one.name)
            || names::is_of_lists(&one.name)
    };
    let is_text = names::label_rank(&column.name) < names::NO_LABEL;
    (is_text && table.columns.iter().filter(|one| !is_plain(one)).count() == 0)
        .then_some(column.name.as_str())
}

/// Who made or changed a row says nothing of what the row is.
fn is_person(key: &ForeignKey) -> bool {
    key.columns.iter().all(|column| names::is_actor(column) || names::is_creator(column))
}

/// Reads the lists that may be read.
pub(super) async fn read(session: &Client, tables: &mut [Table]) -> Result<(), Error> {
    let lists: Vec<(usize, String)> = (0..tables.len())
        .filter_map(|number| Some((number, text_column(&tables[number], tables)?.to_owned())))
        .collect();
    let what = "names for numbers";
    for (number, column) in lists {
        let table = &mut tables[number];
        let limit = LABELS_MAX as i64 + 1;
        let statement = session
            .query_one(
                include_str!("../../sql/init/values.sql"),
                &[&table.schema, &table.name, &table.primary_key[0], &column, &limit],
            )
            .await
            .map_err(|source| Error::Catalogue { what, source })?;
        let statement: String = statement.get(0);
        // the role may not look: then there are no names
        let Ok(rows) = session.query(statement.as_str(), &[]).await else { continue };
        if rows.len() <= LABELS_MAX {
            table.labels = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        }
    }
    Ok(())
}
