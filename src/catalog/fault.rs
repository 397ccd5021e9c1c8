//! What can be wrong between a form and its table, and what mends it.

use std::fmt;

/// A key of a form that names columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `entry_id`.
    EntryId,
    /// `record_id`.
    RecordId,
    /// `fields`.
    Fields,
    /// `ignore`.
    Ignore,
    /// `hidden`.
    Hidden,
    /// `parts`.
    Parts,
    /// `transitions`.
    Transitions,
    /// `merge.marker`.
    MergeMarker,
    /// `merge.target`.
    MergeTarget,
    /// `merge.references`.
    MergeReferences,
    /// `deleted`.
    Deleted,
    /// `attachments`.
    Attachments,
    /// `actor`.
    Actor,
    /// `parent`, `references`, `key`, `kind`, `attribute`, `value` or the fields of another table.
    Parent,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EntryId => "entry_id",
            Self::RecordId => "record_id",
            Self::Fields => "fields",
            Self::Ignore => "ignore",
            Self::Hidden => "hidden",
            Self::Parts => "parts",
            Self::Transitions => "transitions",
            Self::MergeMarker => "merge.marker",
            Self::MergeTarget => "merge.target",
            Self::MergeReferences => "merge.references",
            Self::Deleted => "deleted",
            Self::Attachments => "attachments",
            Self::Actor => "actor",
            Self::Parent => "parent",
        })
    }
}

/// Why a field is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoFile {
    /// There is no such field or column.
    NoColumn(String),
    /// Its column has neither bytes nor the oid of a large object.
    Type,
    /// It stands in another table, and nothing says where the bytes are.
    OtherTable,
    /// Its bytes stand in another table, and the entry id has several columns.
    ManyIds,
}

impl fmt::Display for NoFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColumn(name) => write!(f, "there is no field or column {name:?}"),
            Self::Type => f.write_str("its column is neither bytea nor oid"),
            Self::OtherTable => f.write_str("it is a field from another table"),
            Self::ManyIds => {
                f.write_str("its bytes are in another table, and the entry id has several columns")
            }
        }
    }
}

/// What has rows, but none whose changes the log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unloggable {
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    ForeignTable,
    /// A temporary table.
    TemporaryTable,
    /// An unlogged table.
    UnloggedTable,
    /// A table of PostgreSQL's own catalogue.
    SystemTable,
}

impl fmt::Display for Unloggable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::View => "a view",
            Self::MaterializedView => "a materialized view",
            Self::ForeignTable => "a foreign table",
            Self::TemporaryTable => "a temporary table",
            Self::UnloggedTable => "an unlogged table",
            Self::SystemTable => "a table of PostgreSQL itself",
        })
    }
}

/// Something between a form and its table that is not as it has to be. Tables are written as in SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no such table.
    #[error("table {table} does not exist")]
    Missing {
        /// The table as the form names it.
        table: String,
        /// Tables that may be meant.
        nearby: Vec<String>,
    },
    /// The table is gone.
    #[error("table {table} was dropped")]
    Dropped {
        /// The table as it was called last.
        table: String,
    },
    /// The table's name belongs to another table now, which is not published.
    #[error("table {table} was replaced by a new table of that name")]
    Replaced {
        /// The table.
        table: String,
    },
    /// The form names no schema, and several have the table.
    #[error("table {table} exists in several schemas: {}", schemas.join(", "))]
    Ambiguous {
        /// The table as the form names it.
        table: String,
        /// The schemas.
        schemas: Vec<String>,
    },
    /// It is nothing that the log has changes of.
    #[error("{table} is {what}: its changes are not in the log")]
    Unloggable {
        /// Its name.
        table: String,
        /// What it is.
        what: Unloggable,
    },
    /// It is a part of a partitioned table, whose changes are published under the whole.
    #[error("{table} is a partition of {root}, and its changes are published under that name")]
    Partition {
        /// The partition.
        table: String,
        /// The whole.
        root: String,
    },
    /// A field cannot be a file.
    #[error("attachment {field:?}: {why}")]
    Attachment {
        /// The field.
        field: String,
        /// Why.
        why: NoFile,
    },
    /// A column is not there.
    #[error("{key} names column {column:?}, which {table} does not have")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The form's key.
        key: Key,
        /// The column.
        column: String,
        /// Columns that may be meant.
        nearby: Vec<String>,
    },
    /// A column was dropped since the form was bound.
    #[error("{key} names column {column:?}, which was dropped from {table}")]
    DroppedColumn {
        /// The table.
        table: String,
        /// The form's key.
        key: Key,
        /// The column.
        column: String,
    },
    /// A column never appears in the log, because it is generated.
    #[error("{key} names column {column:?} of {table}, which is generated and not in the log")]
    Generated {
        /// The table.
        table: String,
        /// The form's key.
        key: Key,
        /// The column.
        column: String,
    },
    /// A column is not in the log, because the publication leaves it out.
    #[error("{key} names column {column:?} of {table}, which the publication leaves out")]
    LeftOut {
        /// The table.
        table: String,
        /// The form's key.
        key: Key,
        /// The column.
        column: String,
    },
    /// Two columns would appear under one name.
    #[error("two fields are called {name:?}: columns {one:?} and {other:?}")]
    FieldTwice {
        /// The name.
        name: String,
        /// A column.
        one: String,
        /// The other.
        other: String,
    },
    /// A column that must not leave is part of an id, which does, or of what conditions are about.
    #[error("column {column:?} is hidden but {key} names it")]
    HiddenId {
        /// `entry_id`, `record_id` or `parts`.
        key: Key,
        /// The column.
        column: String,
    },
    /// Nothing identifies the rows.
    #[error("{table} has no primary key, and the form has no entry_id")]
    NoEntryId {
        /// The table.
        table: String,
    },
    /// Updates and deletes would not say which entry they concern.
    #[error(
        "{} not in the replica identity of {table}, so deletes and updates would not tell the entry",
        columns_are(columns)
    )]
    EntryIdNotInIdentity {
        /// The table.
        table: String,
        /// The columns of the entry id that are missing.
        columns: Vec<String>,
        /// Whether they are the primary key.
        is_primary_key: bool,
        /// Partitions that have an identity of their own without them.
        partitions: Vec<String>,
    },
    /// The form wants old values that the log does not have.
    #[error("old_values = \"log\" needs whole old rows, but the replica identity of {table} is not FULL")]
    NoOldValues {
        /// The table.
        table: String,
        /// Of a partitioned table: the partitions that are not FULL.
        partitions: Vec<String>,
    },
    /// Columns decide what a change means, but the log does not have them in old rows.
    #[error(
        "what {} was before a change is not known ({key}): the replica identity of {table} is not FULL",
        columns.join(", ")
    )]
    OldUnknown {
        /// The table.
        table: String,
        /// The key that names the columns.
        key: Key,
        /// The columns.
        columns: Vec<String>,
        /// Of a partitioned table: the partitions that are not FULL.
        partitions: Vec<String>,
    },
    /// The condition that says which rows are entries does not fit the form.
    #[error("where does not fit the form:\n{drawn}")]
    Entries {
        /// All that is wrong with it, each thing with its place and what to write instead.
        drawn: String,
    },
    /// No publication of ours has the table.
    #[error("{table} is not in publication {publication:?}")]
    Unpublished {
        /// The table.
        table: String,
        /// Our publication.
        publication: String,
        /// Whether that one exists.
        publication_exists: bool,
        /// Whether the application's updates and deletes would fail if the table were simply added.
        would_break_writes: bool,
    },
    /// The publication leaves rows out.
    #[error("publication {publication:?} has a row filter on {table}: changes are missing")]
    Filtered {
        /// The table.
        table: String,
        /// The publication.
        publication: String,
    },
    /// The publication leaves kinds of changes out.
    #[error("publication {publication:?} leaves out {kinds} of {table}")]
    KindsLeftOut {
        /// The table.
        table: String,
        /// The publication.
        publication: String,
        /// Which: `updates, deletes`.
        kinds: String,
    },
    /// The publication has partitions under their own names.
    #[error("publication {publication:?} publishes the partitions of {table} under their own names")]
    PartitionsPublished {
        /// The partitioned table.
        table: String,
        /// The publication.
        publication: String,
    },
}

impl Fault {
    /// Whether the form cannot work, or not as it says. Otherwise it goes on, and the operator should know.
    pub fn breaks(&self) -> bool {
        match self {
            Self::DroppedColumn { key, .. } => *key == Key::EntryId,
            // a field that vanishes with its row may not be told, all else is
            Self::OldUnknown { key, .. } => *key == Key::Deleted,
            _ => true,
        }
    }

    /// What to do: SQL, mostly for whoever owns the table, or what to write into the configuration.
    pub fn remedy(&self) -> String {
        match self {
            Self::Missing { nearby, .. } if nearby.is_empty() => {
                "name an existing table, with its schema: table = \"schema.table\"".to_owned()
            }
            Self::Missing { nearby, .. } | Self::UnknownColumn { nearby, .. } if !nearby.is_empty() => {
                format!("did you mean {}?", nearby.join(", "))
            }
            Self::UnknownColumn { key, .. } | Self::DroppedColumn { key, .. } => {
                format!("take the column out of {key}, or name an existing one")
            }
            Self::Missing { .. } | Self::Dropped { .. } => {
                "remove the form, or create the table anew and publish it".to_owned()
            }
            Self::Replaced { table } => format!("add the new {table} to the publication"),
            Self::Ambiguous { table, schemas } => {
                let schema = schemas.first().map_or("schema", String::as_str);
                format!("say which one, such as table = \"{schema}.{table}\"")
            }
            Self::Unloggable { what, table } => match what {
                Unloggable::UnloggedTable => format!("alter table {table} set logged;"),
                Unloggable::View | Unloggable::MaterializedView => "map the tables behind it".to_owned(),
                Unloggable::ForeignTable | Unloggable::TemporaryTable | Unloggable::SystemTable => {
                    "map an ordinary table".to_owned()
                }
            },
            Self::Partition { root, .. } => format!("map {root}"),
            Self::Generated { key, .. } => {
                format!("take the column out of {key}; map the columns it is computed from")
            }
            Self::LeftOut { key, .. } => {
                format!("take the column out of {key}, or add it to the publication's column list")
            }
            Self::Attachment { why: NoFile::NoColumn(_), .. } => {
                "name an existing field or column in attachments".to_owned()
            }
            Self::Attachment { why: NoFile::Type | NoFile::OtherTable, .. } => {
                "say where the bytes are: table, key and column of the attachment".to_owned()
            }
            Self::Attachment { why: NoFile::ManyIds, .. } => {
                "set entry_id to one column, or take the attachment out".to_owned()
            }
            Self::FieldTwice { name, .. } => format!("give one of the fields another name than {name:?}"),
            Self::Entries { .. } => {
                "mend the condition, or take where out to make every row an entry".to_owned()
            }
            Self::HiddenId { key, .. } => format!("take the column out of hidden, or out of {key}"),
            Self::NoEntryId { .. } => "set entry_id to columns that identify a row".to_owned(),
            Self::EntryIdNotInIdentity { table, is_primary_key: true, partitions, .. } => {
                alter_identity(table, partitions, "default")
            }
            Self::EntryIdNotInIdentity { table, partitions, .. }
            | Self::OldUnknown { table, partitions, .. }
            | Self::NoOldValues { table, partitions } => alter_identity(table, partitions, "full"),
            Self::Unpublished { table, publication, publication_exists, would_break_writes } => {
                let identity = if *would_break_writes {
                    alter_identity(table, &[], "full") + " "
                } else {
                    String::new()
                };
                let publication = quoted(publication);
                if *publication_exists {
                    format!("{identity}alter publication {publication} add table {table};")
                } else {
                    format!(
                        "{identity}create publication {publication} for table {table} \
                         with (publish_via_partition_root = true);"
                    )
                }
            }
            Self::Filtered { table, publication } => {
                let publication = quoted(publication);
                format!(
                    "alter publication {publication} drop table {table}; \
                     alter publication {publication} add table {table};"
                )
            }
            Self::KindsLeftOut { publication, .. } => {
                let publication = quoted(publication);
                format!("alter publication {publication} set (publish = 'insert, update, delete, truncate');")
            }
            Self::PartitionsPublished { publication, .. } => {
                format!("alter publication {} set (publish_via_partition_root = true);", quoted(publication))
            }
        }
    }
}

/// A name as an SQL identifier, in quotes whether it needs them or not.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn columns_are(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|column| format!("{column:?}")).collect();
    match names.as_slice() {
        [name] => format!("column {name} is"),
        names => format!("columns {} are", names.join(", ")),
    }
}

/// The statements that change an identity. Partitions have their own, which those of the whole do not change.
fn alter_identity(table: &str, partitions: &[String], identity: &str) -> String {
    let tables = std::iter::once(table).chain(partitions.iter().map(String::as_str));
    let statements = tables.map(|table| format!("alter table {table} replica identity {identity};"));
    statements.collect::<Vec<_>>().join(" ")
}
