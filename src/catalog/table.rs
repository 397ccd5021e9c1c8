//! Tables as the catalogue describes them now, which may be later than the log.

use super::{Error, Reader};
use crate::change::{Column, Relation, RelationId, ReplicaIdentity};
use crate::form::Form;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table, or something else that has columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) oid: RelationId,
    pub(super) schema: String,
    pub(super) name: String,
    /// Schema and name, quoted where they have to be.
    pub(super) sql_name: String,
    /// `pg_class.relkind`: `r`, `p`, `v`, `m`, `f`.
    pub(super) kind: String,
    /// `pg_class.relpersistence`: `p`, `u`, `t`.
    pub(super) persistence: String,
    pub(super) is_system: bool,
    /// Of a partition: the table that it is a part of, quoted.
    pub(super) root: Option<String>,
    pub(super) identity: ReplicaIdentity,
    /// Of a partitioned table: the partitions whose own identity is not FULL, quoted. The identity of the
    /// partition decides what the log holds; that of the root is only what the log calls it.
    pub(super) leaves_not_full: Vec<String>,
    pub(super) columns: Vec<TableColumn>,
    /// The column numbers of the primary key, in its order; empty where there is none.
    pub(super) primary_key: Vec<i16>,
    /// The column numbers of the index that the replica identity uses; empty where it uses none.
    pub(super) identity_key: Vec<i16>,
    pub(super) published: Published,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableColumn {
    pub(super) name: String,
    /// `pg_attribute.attnum`: outlives renames, is never used again.
    pub(super) number: i16,
    pub(super) type_oid: u32,
    pub(super) type_modifier: i32,
    pub(super) is_generated: bool,
    /// Whether its collation calls texts equal that differ in letter case.
    pub(super) folds_case: bool,
}

/// Whether our publications have a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// Under its own name.
    pub(super) as_itself: bool,
    /// One that has its partitions under theirs.
    pub(super) partitions_in: Option<String>,
    /// Whether the first of them, meant for tables as a whole, is among those.
    pub(super) as_a_whole: bool,
    /// With which kinds of changes.
    pub(super) kinds: Kinds,
    /// The publication whose row filter leaves rows out.
    pub(super) filtered_in: Option<String>,
    /// The columns, where the server says so (from PostgreSQL 15 on); none means all.
    pub(super) columns: Option<Vec<String>>,
    /// Whether generated columns can be among them (from PostgreSQL 18 on).
    pub(super) may_have_generated: bool,
}

/// Kinds of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) inserts: bool,
    pub(super) updates: bool,
    pub(super) deletes: bool,
}

impl Published {
    /// Whether changes come that tell of old rows.
    pub(super) fn has_old_rows(&self) -> bool {
        self.kinds.updates || self.kinds.deletes
    }

    pub(super) fn lists(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|columns| columns.iter().any(|name| name == column))
    }
}

impl Table {
    pub(super) fn is_partitioned(&self) -> bool {
        self.kind == "p"
    }

    /// Whether the log has the whole old row of every change.
    pub(super) fn is_full(&self) -> bool {
        self.identity == ReplicaIdentity::Full && self.leaves_not_full.is_empty()
    }

    /// The column numbers that old rows have at least. With FULL all; where a partition of a FULL table is
    /// not FULL itself, only its key.
    pub(super) fn identity_numbers(&self) -> Vec<i16> {
        if self.is_full() {
            self.columns.iter().map(|column| column.number).collect()
        } else if self.identity == ReplicaIdentity::Full {
            self.primary_key.clone()
        } else {
            self.identity_key.clone()
        }
    }

    /// Whether PostgreSQL lets the application update and delete once the table is published with updates.
    pub(super) fn has_usable_identity(&self) -> bool {
        self.is_full() || !self.identity_numbers().is_empty()
    }

    /// Whether a column is in the log at all.
    pub(super) fn logs(&self, column: &TableColumn) -> bool {
        let is_listed = self.published.lists(&column.name);
        is_listed && (!column.is_generated || self.published.may_have_generated)
    }

    pub(super) fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub(super) fn column_number(&self, number: i16) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// The table as the log would describe it now.
    pub(super) fn as_logged(&self) -> Relation {
        let column = |column: &TableColumn| Column {
            name: column.name.clone(),
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            in_identity: self.identity == ReplicaIdentity::Full || self.identity_key.contains(&column.number),
        };
        Relation {
            id: self.oid,
            schema: self.schema.clone(),
            name: self.name.clone(),
            identity: self.identity,
            columns: self.columns.iter().filter(|column| self.logs(column)).map(column).collect(),
        }
    }

    fn read(row: &tokio_postgres::Row) -> Result<Self, tokio_postgres::Error> {
        let names: Vec<String> = row.try_get("names")?;
        let numbers: Vec<i16> = row.try_get("numbers")?;
        let types: Vec<u32> = row.try_get("types")?;
        let modifiers: Vec<i32> = row.try_get("modifiers")?;
        let generated: Vec<bool> = row.try_get("generated")?;
        let folds_case: Vec<bool> = row.try_get("folds_case")?;
        let types = types.into_iter().zip(modifiers);
        let columns = names.into_iter().zip(numbers).zip(types).zip(generated.into_iter().zip(folds_case));
        let identity: String = row.try_get("identity")?;
        Ok(Self {
            oid: row.try_get("oid")?,
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            sql_name: row.try_get("sql_name")?,
            kind: row.try_get("kind")?,
            persistence: row.try_get("persistence")?,
            is_system: row.try_get("is_system")?,
            root: row.try_get("root")?,
            identity: match identity.as_str() {
                "f" => ReplicaIdentity::Full,
                "i" => ReplicaIdentity::Index,
                "n" => ReplicaIdentity::Nothing,
                _ => ReplicaIdentity::Default,
            },
            leaves_not_full: row.try_get::<_, Option<_>>("leaves_not_full")?.unwrap_or_default(),
            columns: columns
                .map(|(((name, number), (type_oid, type_modifier)), (is_generated, folds_case))| {
                    TableColumn { name, number, type_oid, type_modifier, is_generated, folds_case }
                })
                .collect(),
            primary_key: row.try_get::<_, Option<_>>("primary_key")?.unwrap_or_default(),
            identity_key: row.try_get::<_, Option<_>>("identity_key")?.unwrap_or_default(),
            published: Published::default(),
        })
    }
}

/// What the catalogue says at one moment about the tables of the forms.
#[derive(Debug, Default)]
pub(super) struct Tables {
    by_oid: BTreeMap<RelationId, Arc<Table>>,
    /// Every relation with the name of a form's table: its oid, schema, name and place in the search path.
    named: Vec<(RelationId, String, String, Option<i32>)>,
    /// Our publications that exist.
    pub(super) publications: Vec<String>,
    /// All tables, in case some form's is missing.
    pub(super) names: Vec<(String, String)>,
}

/// What a form's table name stands for.
pub(super) enum Named {
    Table(Arc<Table>),
    Nothing,
    /// Tables of several schemas, none of which comes first.
    Several(Vec<String>),
}

impl Tables {
    /// Reads what concerns these forms and the tables they were bound to before.
    pub(super) async fn read(
        reader: &Reader<'_>,
        forms: &[Arc<Form>],
        bound_before: &[RelationId],
        publications: &[String],
    ) -> Result<Self, Error> {
        let mut tables = Self::default();
        let names: Vec<&str> = forms.iter().map(|form| form.table.as_str()).collect();
        for row in reader.query("tables", include_str!("../../sql/catalog/find.sql"), &[&names]).await? {
            let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
            tables.named.push(read().map_err(Error::shape("tables"))?);
        }
        let mut oids: Vec<RelationId> = tables.named.iter().map(|(oid, ..)| *oid).collect();
        oids.extend_from_slice(bound_before);
        let mut by_oid = BTreeMap::new();
        for row in reader.query("tables", include_str!("../../sql/catalog/tables.sql"), &[&oids]).await? {
            let table = Table::read(&row).map_err(Error::shape("tables"))?;
            by_oid.insert(table.oid, table);
        }
        tables.read_published(reader, publications, &oids, &mut by_oid).await?;
        tables.by_oid = by_oid.into_iter().map(|(oid, table)| (oid, Arc::new(table))).collect();
        if forms.iter().any(|form| matches!(tables.named_by(form, None), Named::Nothing)) {
            for row in reader.query("tables", include_str!("../../sql/catalog/names.sql"), &[]).await? {
                let read = || Ok((row.try_get(0)?, row.try_get(1)?));
                tables.names.push(read().map_err(Error::shape("tables"))?);
            }
        }
        Ok(tables)
    }

    async fn read_published(
        &mut self,
        reader: &Reader<'_>,
        publications: &[String],
        oids: &[RelationId],
        tables: &mut BTreeMap<RelationId, Table>,
    ) -> Result<(), Error> {
        let statement = include_str!("../../sql/catalog/published.sql");
        for row in reader.query("publications", statement, &[&publications, &oids]).await? {
            let mut read = || -> Result<(), tokio_postgres::Error> {
                let publication: String = row.try_get("publication")?;
                if !self.publications.contains(&publication) {
                    self.publications.push(publication.clone());
                }
                let oid: Option<u32> = row.try_get("oid")?;
                let Some(table) = oid.and_then(|oid| tables.get_mut(&oid)) else { return Ok(()) };
                let published = &mut table.published;
                if !row.try_get::<_, bool>("as_itself")? {
                    published.partitions_in = Some(publication);
                    return Ok(());
                }
                let columns: Option<Vec<String>> = row.try_get("columns")?;
                published.columns = match (published.as_itself, published.columns.take(), columns) {
                    (false, _, columns) => columns,
                    (true, Some(mut one), Some(other)) => {
                        one.extend(other); // servers that take differing lists unite them
                        Some(one)
                    }
                    (true, ..) => None,
                };
                published.filtered_in = match (published.as_itself, row.try_get("is_filtered")?) {
                    (false, true) => Some(publication.clone()),
                    (true, true) => published.filtered_in.take(),
                    (_, false) => None, // one without a filter has all rows
                };
                published.as_itself = true;
                published.as_a_whole |= publications.first() == Some(&publication);
                published.kinds.inserts |= row.try_get::<_, bool>("inserts")?;
                published.kinds.updates |= row.try_get::<_, bool>("updates")?;
                published.kinds.deletes |= row.try_get::<_, bool>("deletes")?;
                published.may_have_generated = row.try_get("may_have_generated")?;
                Ok(())
            };
            read().map_err(Error::shape("publications"))?;
        }
        Ok(())
    }

    /// The types of all columns.
    pub(super) fn type_oids(&self) -> Vec<u32> {
        self.by_oid.values().flat_map(|table| &table.columns).map(|column| column.type_oid).collect()
    }

    pub(super) fn by_oid(&self, oid: RelationId) -> Option<&Arc<Table>> {
        self.by_oid.get(&oid)
    }

    /// The table that a form names now. Without a schema: the one in the schema where the form was bound
    /// before, else the first of the search path, else the one in `public`, else the only one there is.
    pub(super) fn named_by(&self, form: &Form, schema_before: Option<&str>) -> Named {
        let found = self.named.iter().filter(|(_, _, name, _)| *name == form.table);
        let table =
            |oid: &RelationId| self.by_oid.get(oid).map_or(Named::Nothing, |t| Named::Table(t.clone()));
        if let Some(wanted) = &form.schema {
            return found
                .clone()
                .find(|(_, schema, ..)| schema == wanted)
                .map_or(Named::Nothing, |f| table(&f.0));
        }
        let found: Vec<_> = found.filter(|(_, schema, ..)| !is_system_schema(schema)).collect();
        let before = found.iter().find(|(_, schema, ..)| Some(schema.as_str()) == schema_before);
        let on_path = found.iter().filter(|f| f.3.is_some()).min_by_key(|f| f.3);
        let public = found.iter().find(|(_, schema, ..)| schema == "public");
        match (before.or(on_path).or(public), found.as_slice()) {
            (Some(first), _) => table(&first.0),
            (None, []) => Named::Nothing,
            (None, [only]) => table(&only.0),
            (None, several) => Named::Several(several.iter().map(|f| f.1.clone()).collect()),
        }
    }
}

fn is_system_schema(schema: &str) -> bool {
    schema.starts_with("pg_") || schema == "information_schema"
}
