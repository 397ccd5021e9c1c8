//! The doctor against real servers: an application that owns its tables, a role of ours with as little as
//! possible, and every trouble planted once.

mod check;
mod endpoints;
mod looked_up;
mod setup;

use std::sync::Arc;
use std::time::Duration;
use walhook::demo::cluster::Cluster;
use walhook::doctor::facts::Facts;
use walhook::doctor::finding::{Finding, Mend, Report, Severity};
use walhook::doctor::plan::{self, Plan, StepEnd};
use walhook::doctor::{Needs, check as doctor_check, setup as doctor_setup};
use walhook::form::{Fold, Form, OldValues};
use walhook::postgres::{Address, Session, connect};

/// The help desk: `app` owns it, `walhook` reads its log.
const APPLICATION: &str = r#"
    create role app login;
    create role walhook login replication;
    create schema helpdesk authorization app;
    set role app;
    create table helpdesk.incident (number text primary key, status int, detail text);
    create table helpdesk.note (id int, body text);
    create table helpdesk."Audit Log" (id int, what text);
    create table helpdesk.event (id int, at date not null, primary key (id, at)) partition by range (at);
    create table helpdesk.event_2026 partition of helpdesk.event for values from ('2026-01-01') to ('2027-01-01');
    create table helpdesk.raw (id int, at date) partition by range (at);
    create table helpdesk.raw_2026 partition of helpdesk.raw for values from ('2026-01-01') to ('2027-01-01');
    create table helpdesk.later (id int primary key deferrable, body text);
    create table helpdesk.mute (id int primary key, body text);
    alter table helpdesk.mute replica identity nothing;
    create view helpdesk.open as select * from helpdesk.incident where status < 5;
    create unlogged table helpdesk.scratch (id int primary key);
    reset role;
"#;

const TABLES: [&str; 7] = ["incident", "note", "Audit Log", "event", "raw", "later", "mute"];

/// Those without a primary key.
const KEYLESS: [&str; 3] = ["note", "Audit Log", "raw"];

struct House {
    cluster: Cluster,
    dba: Session,
    needs: Needs,
}

async fn session(cluster: &Cluster, role: &str) -> Session {
    let url = cluster.url("postgres").replace("postgres://postgres@", &format!("postgres://{role}@"));
    connect(&Address::parse(&url).unwrap(), "test").await.unwrap()
}

fn form(table: &str) -> Form {
    Form {
        name: format!("The {table}"),
        noun: table.to_lowercase(),
        schema: Some("helpdesk".into()),
        table: table.into(),
        entry_id: if KEYLESS.contains(&table) { vec!["id".into()] } else { vec![] },
        record_id: None,
        old_values: OldValues::Auto,
        fold: Fold::Transaction,
        ignore: vec![],
        unset: vec![],
        hidden: vec![],
        fields: vec![],
        happenings: walhook::happening::Happenings::default(),
        itrp: walhook::form::ItrpFields::default(),
        belonging: None,
        referred_by: vec![],
        unchanged_updates: false,
        value_bytes_max: 16 << 20,
        entries: None,
        supplied: vec![],
        deleted: None,
        attachments: walhook::attachment::Attachments::default(),
        parts: vec![],
        dialect: Arc::default(),
    }
}

impl House {
    async fn with(settings: &[&str], tables: &[&str]) -> Self {
        let cluster = Cluster::start(settings).unwrap();
        let dba = session(&cluster, "postgres").await;
        dba.batch_execute(APPLICATION).await.unwrap();
        let needs = Needs {
            registrar: None,
            forms: tables.iter().map(|table| Arc::new(form(table))).collect(),
            slot: "walhook".into(),
            publication: "walhook".into(),
            plugin: "pgoutput".into(),
            role: Some("walhook".into()),
        };
        Self { cluster, dba, needs }
    }

    async fn ready(tables: &[&str]) -> Self {
        let house = Self::with(&[], tables).await;
        house.set_up(&doctor_setup::Options::default()).await;
        house
    }

    fn change_form(&mut self, number: usize, change: impl FnOnce(&mut Form)) {
        change(Arc::make_mut(&mut self.needs.forms[number]));
    }

    async fn facts(&self) -> Facts {
        Facts::gather(&self.dba, &self.needs).await.unwrap()
    }

    async fn plan(&self, options: &doctor_setup::Options) -> Plan {
        doctor_setup::plan(&self.facts().await, &self.needs, options).unwrap()
    }

    async fn set_up(&self, options: &doctor_setup::Options) {
        let plan = self.plan(options).await;
        plan::apply(&self.dba, &plan, |step, end| assert_eq!(end, StepEnd::Done, "{step:?}")).await.unwrap();
        assert_eq!(self.plan(options).await.steps, [], "a second setup has nothing to do");
    }

    async fn check(&self) -> Report {
        doctor_check::check(&self.facts().await, &self.needs)
    }

    async fn sql(&self, sql: &str) {
        self.dba.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn count(&self, sql: &str) -> i64 {
        self.dba.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// The application's day: it must never notice.
    async fn application_works(&self) {
        let app = session(&self.cluster, "app").await;
        for table in TABLES {
            let key = if table == "incident" { "number" } else { "id" };
            let columns = match table {
                "event" | "raw" => format!("{key}, at) values (1, '2026-05-05'"),
                _ => format!("{key}) values (1"),
            };
            for sql in [
                format!("insert into helpdesk.\"{table}\" ({columns})"),
                format!("update helpdesk.\"{table}\" set {key} = 2"),
                format!("delete from helpdesk.\"{table}\""),
            ] {
                app.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            }
        }
    }

    /// The one finding about `object` whose words contain `what`.
    #[track_caller]
    fn find(report: &Report, object: &str, what: &str) -> Finding {
        let fits = |finding: &&Finding| finding.object == object && finding.what.contains(what);
        let found: Vec<_> = report.findings.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "{object}: {what}\n{report}");
        found[0].clone()
    }

    /// Whether what the finding says to do makes it go away.
    async fn mends(&self, severity: Severity, object: &str, what: &str) {
        let finding = Self::find(&self.check().await, object, what);
        assert_eq!(finding.severity, severity, "{finding:?}");
        match finding.mend.as_ref().expect("a remedy") {
            Mend::Sql(sql) | Mend::SqlAndRestart(sql) => self.sql_one_by_one(sql).await,
            mend => panic!("no SQL: {mend:?}"),
        }
        // a new setting reaches the other sessions a moment later
        let mended = async {
            loop {
                let after = self.check().await;
                if !after.findings.iter().any(|after| after.object == object && after.what.contains(what)) {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), mended)
            .await
            .unwrap_or_else(|_| panic!("{finding:?} was not mended"));
    }

    /// As `psql` does it: each statement in a transaction of its own, for some refuse to share one.
    async fn sql_one_by_one(&self, sql: &str) {
        for statement in sql.split(";\n") {
            self.sql(statement).await;
        }
    }
}
