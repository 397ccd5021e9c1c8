//! What the catalogue says of tables, read once, as data.

use super::polymorphic::{self, PolymorphicKey};
use super::{Error, labels};
use serde::Deserialize;
use tokio_postgres::Client;
use tokio_postgres::types::Json;

/// Something that has rows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Table {
    /// Its number in the catalogue.
    pub oid: i64,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// As `pg_class` has it: `r`, `p` (partitioned), `v` (view), `m` (materialised view), `f` (foreign table).
    pub kind: char,
    /// `p` permanent, `u` unlogged, `t` temporary.
    pub persistence: char,
    /// Whether it is a partition of another table.
    pub is_partition: bool,
    /// Whether the search path finds it by its name alone.
    pub is_found_unqualified: bool,
    /// Whether the log has its old rows.
    pub has_full_identity: bool,
    /// About how many rows it has.
    pub rows: i64,
    /// What somebody has written about it.
    pub comment: Option<String>,
    /// The columns of the primary key.
    pub primary_key: Vec<String>,
    /// Columns that are unique by themselves.
    pub unique_columns: Vec<String>,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// What it refers to.
    pub foreign_keys: Vec<ForeignKey>,
    /// Where it is a list of names for numbers: the values of its key, each with its text, in the order of the keys.
    #[serde(skip)]
    pub labels: Vec<(String, String)>,
    /// What it belongs to, where that is one of several tables.
    #[serde(skip)]
    pub polymorphic: Option<PolymorphicKey>,
}

/// A column.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type's name; that of what a domain is made of.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its type's category, as `pg_type` has it: `B` boolean, `D` date and time, `E` enum, `N` number, `S` text.
    pub category: char,
    /// Whether it always has a value.
    pub not_null: bool,
    /// The values of an enum type, in their order.
    pub values: Vec<String>,
}

/// A reference to another table.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ForeignKey {
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The number of the table that they refer to.
    pub table: i64,
    /// The columns there.
    pub refers_to: Vec<String>,
    /// Whether rows go with what they refer to.
    pub cascades: bool,
}

impl Table {
    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether rows of it can be told of one by one.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }
}

/// Reads the tables of some schemas, of all of the application's where none is named. Only the catalogue is read, and the
/// rows of tables that look like lists of names for numbers and the columns that look like kinds of references, where the role may.
pub async fn read(session: &Client, schemas: &[String]) -> Result<Vec<Table>, Error> {
    let what = "tables";
    let rows = session
        .query(include_str!("../../sql/init/tables.sql"), &[&schemas])
        .await
        .map_err(|source| Error::Catalogue { what, source })?;
    let mut tables = Vec::with_capacity(rows.len());
    for row in rows {
        let Json(value) = row.get::<_, Json<serde_json::Value>>(0);
        let table: Table = serde_json::from_value(value).map_err(|source| Error::Answer { what, source })?;
        tables.push(table);
    }
    labels::read(session, &mut tables).await?;
    polymorphic::read(session, &mut tables).await?;
    Ok(tables)
}
