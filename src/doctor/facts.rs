//! What the catalogue says, read once and as data.

use super::registration::RegistrationTable;
use super::{Error, Needs};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::types::{Json, ToSql};

/// A table's oid.
pub type Oid = i64;

/// Everything that the doctor knows of a database.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The server and the database.
    pub server: Server,
    /// The role that asks now.
    pub me: Role,
    /// The role that `run` logs in as; none if there is no such role.
    pub role: Option<Role>,
    /// The name of that role.
    pub role_name: String,
    /// The same as SQL wants it.
    pub role_quoted: String,
    /// The slot, if there is one of that name.
    pub slot: Option<Slot>,
    /// Both publications in the order of [`Needs::publications`].
    pub publications: [PublicationFacts; 2],
    /// Per form, what the name of its table means.
    pub form_tables: Vec<Named>,
    /// The tables whose rows are looked up where the log has not told of them.
    pub looked_up: BTreeSet<Oid>,
    /// The tables that have the bytes of attachments, with the number of the form and the field of each.
    pub file_tables: Vec<(usize, String, Named)>,
    /// All tables that are mapped or published, or have bytes of attachments.
    pub tables: BTreeMap<Oid, Table>,
    /// The registration table, if there is one.
    pub registration: Option<RegistrationTable>,
    /// The role that is to register webhooks, as SQL wants it.
    pub registrar_quoted: Option<String>,
    /// What was granted to the role by name.
    pub grants: Vec<Grant>,
}

/// What the name of a table means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// This table.
    Table(Oid),
    /// There is none of that name.
    Nothing,
    /// One of several: in these schemas.
    Several(Vec<String>),
}

impl Named {
    fn oid(&self) -> Option<Oid> {
        match self {
            Self::Table(oid) => Some(*oid),
            Self::Nothing | Self::Several(_) => None,
        }
    }
}

/// The server and the database.
#[derive(Clone, Debug, Deserialize)]
pub struct Server {
    /// `server_version_num`: 150018.
    pub version_num: i32,
    /// `server_version`.
    pub version: String,
    /// The database's name.
    pub database: String,
    /// The same as SQL wants it.
    pub database_quoted: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// `wal_level`.
    pub wal_level: String,
    /// `max_replication_slots`.
    pub slots_max: i64,
    /// How many slots there are.
    pub slots_used: i64,
    /// `max_wal_senders`.
    pub senders_max: i64,
    /// How many of them are connected.
    pub senders_used: i64,
    /// `max_slot_wal_keep_size` in MiB; −1 means no limit.
    pub slot_wal_keep_mb: Option<i64>,
    /// `idle_replication_slot_timeout` in seconds (18 and later); 0 means no limit.
    pub idle_slot_timeout_s: Option<i64>,
    /// `synchronous_standby_names`: for whom commits wait.
    pub synchronous_standby_names: String,
    /// `output_plugin_libraries`, where the server has that setting.
    pub output_plugin_libraries: Option<String>,
}

/// A role and what it may do in this database.
#[derive(Clone, Debug, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The same as SQL wants it.
    pub quoted: String,
    /// SUPERUSER.
    pub superuser: bool,
    /// REPLICATION.
    pub replication: bool,
    /// LOGIN.
    pub login: bool,
    /// CREATEROLE.
    pub may_create_roles: bool,
    /// Whether it may connect to the database.
    pub may_connect: bool,
    /// Whether it may create publications in the database.
    pub may_create: bool,
    /// Whether it has the rights of the database's owner.
    pub owns_database: bool,
    /// On Amazon RDS: whether it is a member of `rds_replication`.
    pub rds_replication: Option<bool>,
}

impl Role {
    /// Whether it may stream the log.
    pub fn may_replicate(&self) -> bool {
        self.superuser || self.replication || self.rds_replication == Some(true)
    }
}

/// A replication slot.
#[derive(Clone, Debug, Deserialize)]
pub struct Slot {
    /// Its output plugin; none for a physical slot.
    pub plugin: Option<String>,
    /// `logical` or `physical`.
    pub slot_type: String,
    /// The database that it belongs to.
    pub database: Option<String>,
    /// The server's process that reads it now.
    pub active_pid: Option<i32>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why the server invalidated it (17 and later).
    pub invalidation_reason: Option<String>,
    /// Whether standbys that synchronise slots keep a copy of it (17 and later).
    pub failover: Option<bool>,
    /// Up to where it was confirmed.
    pub confirmed_flush_lsn: Option<String>,
    /// How much WAL the server keeps for it, in bytes.
    pub retained_bytes: Option<i64>,
    /// How many transactions ago its view of the catalogue begins.
    pub catalog_age: Option<i64>,
}

/// A publication of ours, as wanted and as found.
#[derive(Clone, Debug)]
pub struct PublicationFacts {
    /// Its name.
    pub name: String,
    /// The same as SQL wants it.
    pub quoted: String,
    /// As found; none if there is none.
    pub found: Option<Publication>,
    /// What it publishes.
    pub tables: Vec<Published>,
}

/// A publication.
#[derive(Clone, Debug, Deserialize)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// `for all tables`.
    pub all_tables: bool,
    /// Whether it publishes inserts.
    pub insert: bool,
    /// Whether it publishes updates.
    pub update: bool,
    /// Whether it publishes deletes.
    pub delete: bool,
    /// Whether it publishes truncates.
    pub truncate: bool,
    /// `publish_via_partition_root`.
    pub via_root: bool,
    /// Whether the role that asks has its owner's rights.
    pub mine: bool,
    /// How many transactions ago it was created or last altered (a change of its tables does not count).
    pub age: i64,
}

/// A table in a publication.
#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    /// The publication.
    pub publication: String,
    /// The table.
    pub oid: Oid,
    /// Whether it was added by name, not with its schema or with all tables.
    pub named: bool,
    /// The row filter.
    pub row_filter: Option<String>,
    /// Whether it has a column list.
    pub column_list: bool,
}

/// A table as far as publishing and mapping it is concerned.
#[derive(Clone, Debug, Deserialize)]
pub struct Table {
    /// Its oid.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `schema.name` as SQL wants it.
    pub quoted: String,
    /// The schema as SQL wants it.
    pub schema_quoted: String,
    /// `pg_class.relkind`.
    pub kind: char,
    /// `pg_class.relpersistence`.
    pub persistence: char,
    /// The partitioned table on top of it, if it is a partition.
    pub partition_of: Option<String>,
    /// The tables that inherit from it, as SQL wants them: their rows are in the log under their own names. None of
    /// them is a partition.
    pub heirs: Vec<String>,
    /// The tables behind a view, as SQL wants them.
    pub behind: Vec<String>,
    /// `pg_class.relreplident`.
    pub identity: char,
    /// The columns of the identity; empty with FULL, and where there is none.
    pub identity_columns: Vec<String>,
    /// The primary key's columns, in its order.
    pub primary_key: Vec<String>,
    /// Its columns.
    pub columns: Vec<String>,
    /// It and all its partitions, as SQL wants them.
    pub tree: Vec<String>,
    /// Those of the tree whose updates and deletes would fail if they were published.
    pub without_identity: Vec<String>,
    /// Those of the tree that differ from it in having identity FULL.
    pub other_identity: Vec<String>,
    /// Whether it has generated columns.
    pub has_generated: bool,
    /// Its owner.
    pub owner: String,
    /// Whether the role that asks has the owner's rights.
    pub mine: bool,
    /// Whether the role that `run` logs in as may look into the schema.
    pub role_sees_schema: bool,
    /// Whether the role that asks may let others look into the schema.
    pub may_grant_schema: bool,
    /// Whether the role that `run` logs in as may read its rows.
    pub role_reads: bool,
    /// Whether the role that asks may let others read its rows.
    pub may_grant: bool,
    /// The size of a row on average, where the server has counted.
    pub row_bytes: Option<i64>,
}

impl Table {
    /// Why it cannot be published at all.
    pub fn unpublishable(&self) -> Option<&'static str> {
        match (self.kind, self.persistence) {
            ('v', _) => Some("is a view"),
            ('m', _) => Some("is a materialised view"),
            ('f', _) => Some("is a foreign table"),
            (_, 'u') => Some("is unlogged: its changes are not in the log"),
            (_, 't') => Some("is temporary: its changes are not in the log"),
            _ if matches!(self.schema.as_str(), "pg_catalog" | "information_schema") => {
                Some("belongs to the server's catalogue")
            }
            _ => None,
        }
    }

    /// Whether updates and deletes can be published without making the application's fail, now and for the
    /// partitions to come: those inherit a primary key, but no other replica identity.
    pub fn is_safe(&self) -> bool {
        self.without_identity.is_empty() && (self.kind != 'p' || !self.primary_key.is_empty())
    }

    /// Whether it would be safe with `REPLICA IDENTITY FULL`.
    pub fn would_be_safe_with_full(&self, version_num: i32) -> bool {
        (self.kind != 'p' || !self.primary_key.is_empty()) && !(version_num >= 180_000 && self.has_generated)
    }

    /// Whether it has `REPLICA IDENTITY FULL`.
    pub fn is_full(&self) -> bool {
        self.identity == 'f'
    }
}

/// A privilege that a role was given by name.
#[derive(Clone, Debug, Deserialize)]
pub struct Grant {
    /// `schema s`, `table s.t` or `database d`, as SQL wants it.
    pub on: String,
    /// `usage`.
    pub privilege: String,
    /// Whether the role that asks may take it back.
    pub mine: bool,
}

impl Facts {
    /// Reads them. Changes nothing, and needs no privilege on any table.
    pub async fn gather(session: &tokio_postgres::Client, needs: &Needs) -> Result<Self, Error> {
        let server: Server = one(session, "server", include_str!("../../sql/doctor/server.sql"), &[])
            .await?
            .expect("a select without from has one row");
        let role_sql = include_str!("../../sql/doctor/role.sql");
        let me: Role = one(session, "current role", role_sql, &[&None::<String>])
            .await?
            .expect("who asks exists and is connected to a database");
        let role_name = needs.role.clone().unwrap_or_else(|| me.name.clone());
        let role: Option<Role> = one(session, "role", role_sql, &[&role_name]).await?;
        let slot = one(session, "slot", include_str!("../../sql/doctor/slot.sql"), &[&needs.slot]).await?;

        let names = needs.publications().to_vec();
        let quoted = quote(session, vec![names[0].clone(), names[1].clone(), role_name.clone()]).await?;
        let found: Vec<Publication> =
            many(session, "publications", include_str!("../../sql/doctor/publications.sql"), &[&names])
                .await?;
        let published: Vec<Published> =
            many(session, "published tables", include_str!("../../sql/doctor/published.sql"), &[&names])
                .await?;
        let publications = [0, 1].map(|number: usize| PublicationFacts {
            name: names[number].clone(),
            quoted: quoted[number].clone(),
            found: found.iter().find(|publication| publication.name == names[number]).cloned(),
            tables: published.iter().filter(|table| table.publication == names[number]).cloned().collect(),
        });

        let forms = needs.forms.iter().map(|form| (form.schema.as_deref(), form.table.as_str()));
        let form_tables = resolve(session, forms.collect()).await?;
        let file_tables = file_tables(session, needs).await?;
        let looked_up = needs.forms.iter().zip(&form_tables).filter(|(form, _)| form.is_looked_up());
        let looked_up = looked_up.filter_map(|(_, named)| named.oid()).collect();
        let mut oids: Vec<Oid> = form_tables.iter().filter_map(Named::oid).collect();
        oids.extend(file_tables.iter().filter_map(|(_, _, named)| named.oid()));
        oids.extend(published.iter().map(|table| table.oid));
        let registration_sql = include_str!("../../sql/doctor/registration.sql");
        let registration: Option<RegistrationTable> =
            one(session, "registration table", registration_sql, &[&role_name]).await?;
        oids.extend(registration.as_ref().map(|table| table.oid));
        let registrar_quoted = match &needs.registrar {
            Some(name) => quote(session, vec![name.clone()]).await?.pop(),
            None => None,
        };
        let tables: Vec<Table> =
            many(session, "tables", include_str!("../../sql/doctor/tables.sql"), &[&oids, &role_name])
                .await?;
        let grants =
            many(session, "grants", include_str!("../../sql/doctor/grants.sql"), &[&role_name]).await?;
        Ok(Self {
            server,
            me,
            role,
            role_quoted: quoted[2].clone(),
            role_name,
            slot,
            publications,
            form_tables,
            looked_up,
            file_tables,
            tables: tables.into_iter().map(|table| (table.oid, table)).collect(),
            registration,
            registrar_quoted,
            grants,
        })
    }

    /// The table of a form, by the form's place in [`Needs::forms`].
    pub fn table_of(&self, form: usize) -> Option<&Table> {
        self.form_tables.get(form).and_then(Named::oid).and_then(|oid| self.tables.get(&oid))
    }

    /// The tables whose rows `run` looks up, each once.
    pub fn looked_up(&self) -> impl Iterator<Item = &Table> {
        self.looked_up.iter().filter_map(|oid| self.tables.get(oid))
    }

    /// The tables that have the bytes of attachments, each once.
    pub fn files(&self) -> impl Iterator<Item = &Table> {
        let oids: BTreeSet<Oid> = self.file_tables.iter().filter_map(|(_, _, named)| named.oid()).collect();
        oids.into_iter().filter_map(|oid| self.tables.get(&oid))
    }

    /// The tables of all forms.
    pub fn mapped(&self) -> impl Iterator<Item = &Table> {
        self.form_tables.iter().filter_map(Named::oid).filter_map(|oid| self.tables.get(&oid))
    }
}

/// What the tables are called that have the bytes of attachments. Without a schema it is that of the form.
async fn file_tables(
    session: &tokio_postgres::Client,
    needs: &Needs,
) -> Result<Vec<(usize, String, Named)>, Error> {
    let (mut places, mut names) = (Vec::new(), Vec::new());
    for (number, form) in needs.forms.iter().enumerate() {
        for attachment in &form.attachments.each {
            if let Some(elsewhere) = &attachment.elsewhere {
                places.push((number, attachment.field.clone()));
                let schema = elsewhere.schema.as_deref().or(form.schema.as_deref());
                names.push((schema, elsewhere.table.as_str()));
            }
        }
    }
    let named = resolve(session, names).await?;
    Ok(places.into_iter().zip(named).map(|((form, field), named)| (form, field, named)).collect())
}

/// What names of tables mean, each with its schema where that is said.
async fn resolve(
    session: &tokio_postgres::Client,
    names: Vec<(Option<&str>, &str)>,
) -> Result<Vec<Named>, Error> {
    let (schemas, tables): (Vec<Option<&str>>, Vec<&str>) = names.into_iter().unzip();
    let rows = session
        .query(include_str!("../../sql/doctor/resolve.sql"), &[&schemas, &tables])
        .await
        .map_err(|source| Error::Catalogue { what: "tables' names", source })?;
    let named = |row: &tokio_postgres::Row| match (row.get(0), row.get::<_, Vec<String>>(1)) {
        (Some(oid), _) => Named::Table(oid),
        (None, schemas) if schemas.is_empty() => Named::Nothing,
        (None, schemas) => Named::Several(schemas),
    };
    Ok(rows.iter().map(named).collect())
}

async fn quote(session: &tokio_postgres::Client, names: Vec<String>) -> Result<Vec<String>, Error> {
    let row = session
        .query_one(include_str!("../../sql/doctor/quote.sql"), &[&names])
        .await
        .map_err(|source| Error::Catalogue { what: "names", source })?;
    Ok(row.get(0))
}

async fn one<T: DeserializeOwned>(
    session: &tokio_postgres::Client,
    what: &'static str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Option<T>, Error> {
    Ok(many(session, what, sql, parameters).await?.pop())
}

async fn many<T: DeserializeOwned>(
    session: &tokio_postgres::Client,
    what: &'static str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<T>, Error> {
    let rows = session.query(sql, parameters).await.map_err(|source| Error::Catalogue { what, source })?;
    rows.iter()
        .map(|row| {
            let Json(value) = row.get::<_, Json<serde_json::Value>>(0);
            serde_json::from_value(value).map_err(|source| Error::Answer { what, source })
        })
        .collect()
}
