//! The doctor against real servers: an application that owns its tables, a role of ours with as little as
//! possible, and every trouble planted once.

use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use walhook::demo::cluster::Cluster;
use walhook::doctor::facts::Facts;
use walhook::doctor::finding::{Finding, Mend, Report, Severity};
use walhook::doctor::plan::{self, Plan, StepEnd};
use walhook::doctor::{Error, Needs, check, endpoints, setup, teardown};
use walhook::form::{Field, Fold, Form, OldValues};
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
        entry_id: vec![],
        record_id: None,
        old_values: OldValues::Auto,
        fold: Fold::Transaction,
        ignore: vec![],
        unset: vec![],
        hidden: vec![],
        fields: vec![],
        delete_insert: None,
        unchanged_updates: false,
    }
}

impl House {
    async fn with(settings: &[&str], tables: &[&str]) -> Self {
        let cluster = Cluster::start(settings).unwrap();
        let dba = session(&cluster, "postgres").await;
        dba.batch_execute(APPLICATION).await.unwrap();
        let needs = Needs {
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
        house.set_up(&setup::Options::default()).await;
        house
    }

    fn change_form(&mut self, number: usize, change: impl FnOnce(&mut Form)) {
        change(Arc::make_mut(&mut self.needs.forms[number]));
    }

    async fn facts(&self) -> Facts {
        Facts::gather(&self.dba, &self.needs).await.unwrap()
    }

    async fn plan(&self, options: &setup::Options) -> Plan {
        setup::plan(&self.facts().await, &self.needs, options).unwrap()
    }

    async fn set_up(&self, options: &setup::Options) {
        let plan = self.plan(options).await;
        plan::apply(&self.dba, &plan, |step, end| assert_eq!(end, StepEnd::Done, "{step:?}")).await.unwrap();
        assert_eq!(self.plan(options).await.steps, [], "a second setup has nothing to do");
    }

    async fn check(&self) -> Report {
        check::check(&self.facts().await, &self.needs)
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
        let after = self.check().await;
        let still = after.findings.iter().any(|after| after.object == object && after.what.contains(what));
        assert!(!still, "{finding:?} was not mended\n{after}");
    }

    /// As `psql` does it: each statement in a transaction of its own, for some refuse to share one.
    async fn sql_one_by_one(&self, sql: &str) {
        for statement in sql.split(";\n") {
            self.sql(statement).await;
        }
    }
}

#[tokio::test]
async fn after_setup_the_application_writes_as_before_and_teardown_leaves_nothing() {
    let house = House::with(&[], &TABLES).await;
    let catalogue = "select count(*) from (select pubname::text from pg_publication \
        union all select slot_name::text from pg_replication_slots \
        union all select n.nspname::text from pg_namespace n, aclexplode(n.nspacl) a where a.grantee = 'walhook'::regrole \
        union all select c.relname::text from pg_class c where c.relreplident = 'f' and c.relnamespace = 'helpdesk'::regnamespace) _";
    assert_eq!(house.count(catalogue).await, 0);
    house.set_up(&setup::Options::default()).await;
    assert_eq!(house.count(catalogue).await, 3, "two publications, one schema");
    house.application_works().await;

    let published = "select count(*) from pg_publication_tables where pubname = 'walhook_inserts' \
        and tablename in ('note', 'Audit Log', 'raw', 'later', 'mute')";
    assert_eq!(house.count(published).await, 5);
    let published = "select count(*) from pg_publication_tables where pubname = 'walhook' and tablename in ('incident', 'event')";
    assert_eq!(house.count(published).await, 2);
    assert_eq!(house.count("select count(*) from pg_publication_tables").await, 7);

    house.sql("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    let facts = house.facts().await;
    let plan = teardown::plan(&facts, &house.needs, &teardown::Options { drop_role: true }).unwrap();
    assert!(plan.steps[0].sql.contains("pg_drop_replication_slot"), "the slot goes first");
    plan::apply(&house.dba, &plan, |step, end| assert_eq!(end, StepEnd::Done, "{step:?}")).await.unwrap();
    assert_eq!(house.count("select count(*) from pg_roles where rolname = 'walhook'").await, 0);
    let facts = house.facts().await;
    let plan = teardown::plan(&facts, &house.needs, &teardown::Options { drop_role: true }).unwrap();
    assert_eq!(plan.steps, []);
    house.application_works().await;
}

/// What would have happened to the application, had `setup` published what it was told to.
#[tokio::test]
async fn publishing_everything_would_have_made_the_application_fail() {
    let house = House::with(&[], &TABLES).await;
    house.sql("create publication careless for all tables; insert into helpdesk.note values (1)").await;
    let app = session(&house.cluster, "app").await;
    let refused = app.batch_execute("update helpdesk.note set id = 2").await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE));
}

#[tokio::test]
async fn what_the_role_may_not_do_is_left_for_the_administrator_as_one_script() {
    let house = House::with(&[], &TABLES).await;
    let walhook = session(&house.cluster, "walhook").await;
    let facts = Facts::gather(&walhook, &house.needs).await.unwrap();
    let plan = setup::plan(&facts, &house.needs, &setup::Options::default()).unwrap();
    assert!(plan.steps.iter().all(|step| step.refused.is_some()), "{plan}");
    assert_eq!(plan.script(), "");
    let mut left = 0;
    plan::apply(&walhook, &plan, |_, end| left += usize::from(end == StepEnd::Left)).await.unwrap();
    assert_eq!(left, plan.steps.len());
    assert_eq!(house.count("select count(*) from pg_publication").await, 0);

    house.sql(&plan.script_for_administrator().unwrap()).await;
    let facts = Facts::gather(&walhook, &house.needs).await.unwrap();
    let plan = setup::plan(&facts, &house.needs, &setup::Options::default()).unwrap();
    assert_eq!(plan.steps, []);
    let report = check::check(&facts, &house.needs);
    assert!(!report.has_errors(), "{report}");
    house.application_works().await;
}

/// The owner of the tables who may not create publications, and the other way round.
#[tokio::test]
async fn the_owner_of_the_tables_sets_up_as_far_as_it_may() {
    let house = House::with(&[], &["incident", "note"]).await;
    let app = session(&house.cluster, "app").await;
    let facts = Facts::gather(&app, &house.needs).await.unwrap();
    let plan = setup::plan(&facts, &house.needs, &setup::Options::default()).unwrap();
    let refused: Vec<_> = plan.steps.iter().filter_map(|step| step.refused.as_deref()).collect();
    assert_eq!(refused, ["needs create on database \"postgres\"", "needs create on database \"postgres\""]);
    house.sql("grant create on database postgres to app").await;
    let facts = Facts::gather(&app, &house.needs).await.unwrap();
    let plan = setup::plan(&facts, &house.needs, &setup::Options::default()).unwrap();
    plan::apply(&app, &plan, |step, end| assert_eq!(end, StepEnd::Done, "{step:?}")).await.unwrap();
    assert!(!house.check().await.has_errors());
}

#[tokio::test]
async fn replica_identity_full_is_set_only_where_the_operator_said_so() {
    let house = House::with(&[], &TABLES).await;
    let options = setup::Options {
        replica_identity_full: vec!["The note".into(), "The event".into(), "The raw".into()],
        ..Default::default()
    };
    let plan = house.plan(&options).await;
    let altered: Vec<_> =
        plan.steps.iter().filter(|step| step.alters_table).map(|step| step.sql.as_str()).collect();
    assert_eq!(
        altered,
        [
            "alter table helpdesk.note replica identity full",
            "alter table helpdesk.event replica identity full;\nalter table helpdesk.event_2026 replica identity full",
        ]
    );
    assert!(
        plan.steps.iter().any(|step| step.cost.as_ref().is_some_and(|cost| cost.contains("whole old row")))
    );
    assert_eq!(plan.remarks.len(), 1, "partitions to come would have no identity: {:?}", plan.remarks);
    house.set_up(&options).await;
    let safe = "select count(*) from pg_publication_tables where pubname = 'walhook' and tablename in ('note', 'event')";
    assert_eq!(house.count(safe).await, 2);
    house.application_works().await;
    let wrong = setup::Options { replica_identity_full: vec!["Nobody".into()], ..Default::default() };
    let error = setup::plan(&house.facts().await, &house.needs, &wrong).unwrap_err();
    assert_eq!(error.to_string(), "there is no form \"Nobody\"");
}

#[tokio::test]
async fn the_role_is_made_if_asked() {
    let mut house = House::with(&[], &["incident"]).await;
    house.needs.role = Some("Hook; drop".into());
    let plan = house.plan(&setup::Options::default()).await;
    assert_eq!(plan.remarks[0].what, "does not exist; --create-role makes it");
    house.set_up(&setup::Options { create_role: true, ..Default::default() }).await;
    assert!(!house.check().await.has_errors());
    let may = "select count(*) from pg_roles where rolname = 'Hook; drop' and rolcanlogin and rolreplication \
        and not rolsuper and has_schema_privilege(oid, 'helpdesk', 'usage') \
        and not has_table_privilege(oid, 'helpdesk.incident', 'select')";
    assert_eq!(house.count(may).await, 1);
}

#[tokio::test]
async fn a_table_that_is_locked_is_not_waited_for() {
    let house = House::with(&[], &["incident"]).await;
    let app = session(&house.cluster, "app").await;
    app.batch_execute("begin; insert into helpdesk.incident values ('1')").await.unwrap();
    let options = setup::Options { replica_identity_full: vec!["The incident".into()], ..Default::default() };
    let plan = house.plan(&options).await;
    let error = plan::apply(&house.dba, &plan, |_, _| {}).await.unwrap_err();
    assert!(
        matches!(&error, Error::Statement { source, .. } if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    );
    app.batch_execute("commit").await.unwrap();
    house.set_up(&options).await;
}

#[tokio::test]
async fn a_slot_that_is_read_is_not_torn_down() {
    let house = House::ready(&["incident"]).await;
    house.sql("select pg_create_logical_replication_slot('walhook', 'test_decoding')").await;
    let mut reader = std::process::Command::new(house.cluster.bin().join("pg_recvlogical"))
        .args(["-h", "127.0.0.1", "-U", "walhook", "-d", "postgres", "-p", &house.cluster.port().to_string()])
        .args(["--slot", "walhook", "--start", "-f", "-"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let facts = loop {
        let facts = house.facts().await;
        if facts.slot.as_ref().unwrap().active_pid.is_some() {
            break facts;
        }
    };
    let pid = facts.slot.as_ref().unwrap().active_pid.unwrap();
    let error = teardown::plan(&facts, &house.needs, &teardown::Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("replication slot \"walhook\" is in use by the server's process {pid}")
    );
    reader.kill().unwrap();
    reader.wait().unwrap();
    while house.facts().await.slot.unwrap().active_pid.is_some() {}
    // what decodes for others is no slot of ours
    let finding = House::find(&house.check().await, "slot \"walhook\"", "decodes with test_decoding");
    assert_eq!(finding.severity, Severity::Error);
}

// --- what check finds, and whether its remedy mends it

#[tokio::test]
async fn a_database_that_is_ready_has_no_errors_and_no_warnings() {
    let house = House::ready(&["incident", "event"]).await;
    let report = house.check().await;
    assert!(!report.has_errors(), "{report}");
    assert_eq!(report.count(Severity::Warning), 0, "{report}");
    assert_eq!(report.to_json()["ok"], true);
    house.sql("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    let report = house.check().await;
    assert_eq!(report.count(Severity::Warning), 0, "{report}");
    House::find(&report, "slot \"walhook\"", "nobody reads it now");
}

#[tokio::test]
async fn wal_level_and_room_are_mended_by_a_restart() {
    let settings = ["wal_level=replica", "max_replication_slots=1", "max_wal_senders=0"];
    let mut house = House::with(&settings, &["incident"]).await;
    house.sql("select pg_create_physical_replication_slot('other')").await;
    let report = house.check().await;
    let wanted = [
        ("wal_level", "is replica"),
        ("max_replication_slots", "1 of 1 in use, none is left"),
        ("max_wal_senders", "0 of 0 in use, none is left"),
    ];
    for (object, what) in wanted {
        let finding = House::find(&report, object, what);
        assert_eq!(finding.severity, Severity::Error);
        let Some(Mend::SqlAndRestart(sql)) = finding.mend else { panic!("{finding:?}") };
        house.sql(&sql).await;
    }
    house.cluster.down("fast").unwrap();
    house.cluster.up().unwrap();
    house.dba = session(&house.cluster, "postgres").await;
    let report = house.check().await;
    for (object, _) in wanted {
        assert_eq!(House::find(&report, object, "").severity, Severity::Ok);
    }
}

#[tokio::test]
async fn a_limit_of_kept_wal_is_a_note_and_so_is_none() {
    let house = House::ready(&["incident"]).await;
    house.sql("alter system set max_slot_wal_keep_size = -1").await;
    house.sql("select pg_reload_conf()").await;
    house.mends(Severity::Note, "max_slot_wal_keep_size", "has no limit").await;
    House::find(&house.check().await, "max_slot_wal_keep_size", "is 102400 MB");
}

#[tokio::test]
async fn what_the_role_lacks_is_found_and_mended() {
    let house = House::ready(&["incident"]).await;
    house.sql("alter role walhook noreplication; revoke connect on database postgres from public; revoke usage on schema helpdesk from walhook").await;
    house.mends(Severity::Error, "role \"walhook\"", "no replication attribute").await;
    house.mends(Severity::Error, "role walhook", "may not connect").await;
    house.mends(Severity::Error, "role walhook", "may not look up tables by name in schema helpdesk").await;
    house.sql("alter role walhook nologin").await;
    house.mends(Severity::Error, "role \"walhook\"", "may not log in").await;
    house.sql("drop owned by walhook; drop role walhook").await;
    house.mends(Severity::Error, "role \"walhook\"", "does not exist").await;
}

#[tokio::test]
async fn what_the_publications_lack_is_found_and_mended() {
    let house = House::with(&[], &["incident", "note"]).await;
    let (object, inserts) = ("publication \"walhook\"", "publication \"walhook_inserts\"");
    house.mends(Severity::Error, object, "does not exist").await;
    house.mends(Severity::Error, inserts, "does not exist").await;
    house.sql("alter publication walhook drop table helpdesk.incident").await;
    house.mends(Severity::Error, object, "does not publish helpdesk.incident").await;
    house.sql("alter publication walhook add table helpdesk.mute").await;
    house
        .mends(
            Severity::Error,
            object,
            "publishes updates and deletes of helpdesk.mute without replica identity",
        )
        .await;
    house.sql("alter publication walhook add table helpdesk.event").await;
    house.mends(Severity::Warning, object, "publishes helpdesk.event, which no form needs").await;
    house.sql("alter publication walhook set (publish = 'insert', publish_via_partition_root = false)").await;
    house.mends(Severity::Error, object, "does not publish as it should").await;
    house.sql("alter publication walhook_inserts set (publish = 'insert, update')").await;
    house.mends(Severity::Error, inserts, "does not publish as it should").await;
    house.sql("alter publication walhook set table helpdesk.incident where (number > 'a')").await;
    house.mends(Severity::Error, object, "row filter or a column list").await;
    house.sql("alter publication walhook set table helpdesk.incident (number)").await;
    house.mends(Severity::Error, object, "row filter or a column list").await;
    house.sql("alter publication walhook add tables in schema helpdesk").await;
    house.mends(Severity::Error, object, "publishes all tables of schema helpdesk").await;
    let report = house.check().await;
    assert!(!report.has_errors(), "{report}");
}

#[tokio::test]
async fn a_publication_for_all_tables_is_replaced() {
    let house = House::with(&[], &["incident", "note"]).await;
    house.sql("create publication walhook for all tables").await;
    house.mends(Severity::Error, "publication \"walhook\"", "is for all tables").await;
    house.mends(Severity::Error, "publication \"walhook\"", "does not exist").await;
    house.sql("drop publication walhook; create publication walhook for all tables").await;
    house.set_up(&setup::Options::default()).await;
    assert!(!house.check().await.has_errors());
    house.application_works().await;
}

/// The primary key was dropped after setup: the application's next update would fail.
#[tokio::test]
async fn a_table_that_lost_its_identity_is_moved_and_moved_back() {
    let house = House::ready(&["incident", "note", "raw"]).await;
    house.sql("alter table helpdesk.incident drop constraint incident_pkey").await;
    house
        .mends(
            Severity::Error,
            "publication \"walhook\"",
            "publishes updates and deletes of helpdesk.incident without",
        )
        .await;
    house.application_works().await;
    house.sql("alter table helpdesk.incident add primary key (number)").await;
    house
        .mends(
            Severity::Warning,
            "publication \"walhook_inserts\"",
            "publishes only inserts of helpdesk.incident",
        )
        .await;
    house.application_works().await;

    // partitioned without a primary key: each partition has an identity, the next one would not
    house.sql("alter table helpdesk.raw replica identity full; alter table helpdesk.raw_2026 replica identity full").await;
    house.sql("alter publication walhook_inserts drop table helpdesk.raw; alter publication walhook add table helpdesk.raw").await;
    house.mends(Severity::Error, "publication \"walhook\"", "those of its new partitions fail").await;
}

#[tokio::test]
async fn a_slot_that_is_not_ours_or_lost_is_an_error() {
    let house =
        House::with(&["max_slot_wal_keep_size=1MB", "min_wal_size=2MB", "max_wal_size=2MB"], &["incident"])
            .await;
    house.set_up(&setup::Options::default()).await;
    let object = "slot \"walhook\"";
    house.sql("select pg_create_physical_replication_slot('walhook')").await;
    House::find(&house.check().await, object, "is a physical slot");
    house.sql("select pg_drop_replication_slot('walhook'); create database other").await;
    let other = connect(&Address::parse(&house.cluster.url("other")).unwrap(), "test").await.unwrap();
    other.batch_execute("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await.unwrap();
    House::find(&house.check().await, object, "belongs to database \"other\", not to \"postgres\"");
    other.batch_execute("select pg_drop_replication_slot('walhook')").await.unwrap();

    house.sql("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    let lost = async {
        loop {
            house.sql("create table if not exists filler (x text); insert into filler select repeat('x', 1000) from generate_series(1, 20000)").await;
            house.sql("select pg_switch_wal()").await;
            house.sql("checkpoint").await;
            if house.facts().await.slot.unwrap().wal_status.as_deref() == Some("lost") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), lost).await.expect("the server invalidates the slot");
    house.mends(Severity::Error, object, "was invalidated by the server").await;
}

#[tokio::test]
async fn wal_that_is_kept_for_a_slot_is_a_warning() {
    let house = House::with(&["max_slot_wal_keep_size=40MB"], &["incident"]).await;
    house.set_up(&setup::Options::default()).await;
    house.sql("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    house.sql("create table filler as select repeat('x', 1000) from generate_series(1, 25000)").await;
    House::find(&house.check().await, "slot \"walhook\"", "MB of WAL for it");
}

#[tokio::test]
async fn a_slot_older_than_its_publication_is_a_warning() {
    let house = House::with(&[], &["incident"]).await;
    house.sql("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    house.set_up(&setup::Options::default()).await;
    let report = house.check().await;
    for publication in ["publication \"walhook\"", "publication \"walhook_inserts\""] {
        let finding = House::find(&report, publication, "was created or altered after the point");
        assert_eq!(finding.severity, Severity::Warning);
    }
    // and the danger is real
    house.sql("insert into helpdesk.incident values ('1')").await;
    house.sql("select pg_drop_replication_slot('walhook'); drop publication walhook").await;
    house.sql("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    house.sql("insert into helpdesk.incident values ('2')").await;
    house.set_up(&setup::Options::default()).await;
    let decoding = "select count(*) from pg_logical_slot_peek_binary_changes('walhook', null, null, 'proto_version', '1', 'publication_names', 'walhook')";
    let refused = house.dba.query_one(decoding, &[]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("does not exist"), "{refused:?}");
}

#[tokio::test]
async fn forms_that_do_not_fit_their_tables_are_found() {
    let mut house = House::ready(&["incident", "note", "nowhere", "open", "scratch", "event_2026"]).await;
    house.change_form(0, |form| {
        form.record_id = Some("guid".into());
        form.fields = vec![Field { name: "Status".into(), column: "state".into(), id: None }];
    });
    let report = house.check().await;
    for (form, what, key) in [
        ("incident", "has no column \"guid\"", "[[forms]] record_id: one of number, status, detail"),
        ("incident", "has no column \"state\"", "[[forms]] fields: one of number, status, detail"),
        ("note", "has no primary key to take the entry id from", "[[forms]] entry_id: some of id, body"),
        (
            "nowhere",
            "table helpdesk.nowhere does not exist",
            "[[forms]] table: a table of this database, as \"schema.table\"",
        ),
        (
            "open",
            "is a view; it cannot be published",
            "[[forms]] table: the table that the rows are stored in",
        ),
    ] {
        let finding = House::find(&report, &format!("form \"The {form}\""), what);
        assert_eq!((finding.severity, finding.mend), (Severity::Error, Some(Mend::Key(key.into()))));
    }
    let partition = House::find(&report, "form \"The event_2026\"", "is a partition of helpdesk.event");
    assert_eq!(partition.mend, Some(Mend::Key("[[forms]] table = \"helpdesk.event\"".into())));
    house.mends(Severity::Error, "form \"The scratch\"", "is unlogged").await;
    house.mends(Severity::Error, "publication \"walhook\"", "does not publish helpdesk.scratch").await;
}

#[tokio::test]
async fn what_the_replica_identity_loses_is_said_and_mended() {
    let mut house = House::ready(&["incident", "note", "event"]).await;
    house.change_form(0, |form| form.entry_id = vec!["detail".into()]);
    house
        .mends(
            Severity::Error,
            "form \"The incident\"",
            "the entry id (detail) is not in the replica identity",
        )
        .await;
    let finding = House::find(&house.check().await, "form \"The incident\"", "has replica identity full");
    assert_eq!(finding.severity, Severity::Note);

    house.sql("alter table helpdesk.incident replica identity default").await;
    house.change_form(0, |form| form.entry_id.clear());
    house.mends(Severity::Note, "form \"The incident\"", "updates do not say what changed").await;
    house.sql("alter table helpdesk.incident replica identity default").await;
    house.change_form(0, |form| form.old_values = OldValues::Log);
    house.mends(Severity::Error, "form \"The incident\"", "old_values = \"log\"").await;

    house.mends(Severity::Warning, "form \"The note\"", "only creates are told").await;
    house.application_works().await;

    house.sql("alter table helpdesk.event replica identity full").await;
    house
        .mends(Severity::Error, "form \"The event\"", "helpdesk.event_2026 differ from helpdesk.event")
        .await;
}

/// Facts that no server here has.
#[tokio::test]
async fn servers_that_do_not_fit_are_said() {
    let house = House::ready(&["incident"]).await;
    let facts = house.facts().await;
    let with = |change: &dyn Fn(&mut Facts)| {
        let mut facts = facts.clone();
        change(&mut facts);
        check::check(&facts, &house.needs)
    };
    let object = format!("PostgreSQL {}", facts.server.version);
    let old = with(&|facts| facts.server.version_num = 130_012);
    assert_eq!(House::find(&old, &object, "is too old").severity, Severity::Error);
    let standby = with(&|facts| (facts.server.in_recovery, facts.server.version_num) = (true, 150_000));
    assert_eq!(House::find(&standby, &object, "is a standby").severity, Severity::Error);
    let standby = with(&|facts| (facts.server.in_recovery, facts.server.version_num) = (true, 160_000));
    assert_eq!(House::find(&standby, &object, "is a standby").severity, Severity::Warning);

    for (setting, remedy) in [
        ("pgoutput, test_decoding", None),
        ("wal2json", Some("pgoutput, test_decoding, wal2json")),
        ("", Some("pgoutput, test_decoding")),
        ("\"pgoutput, test_decoding, wal2json\"", Some("pgoutput, test_decoding, wal2json")),
        ("test_decoding, \"My-Plugin\"", Some("pgoutput, test_decoding, \"My-Plugin\"")),
    ] {
        let report = with(&|facts| facts.server.output_plugin_libraries = Some(setting.into()));
        let finding = House::find(&report, "output_plugin_libraries", "");
        let expected = remedy.map(|list| {
            Mend::Sql(format!("alter system set output_plugin_libraries = {list};\nselect pg_reload_conf();"))
        });
        assert_eq!(finding.mend, expected, "{setting}");
    }
}

#[tokio::test]
async fn endpoints_are_tried_without_a_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = |webhook: &str, url: String| endpoints::Endpoint {
        webhook: webhook.into(),
        url: url.parse().unwrap(),
    };
    let wanted = vec![
        endpoint("open", format!("http://{open}/hook?token=secret")),
        endpoint("closed", format!("http://{closed}/")),
        endpoint("no tls", format!("https://{open}/")),
    ];
    let mut peers = tokio::task::JoinSet::new();
    peers.spawn(async move {
        let mut heard = Vec::new();
        for _ in 0..2 {
            use tokio::io::AsyncReadExt;
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            // the one with TLS says hello and gets nonsense back
            match stream.read(&mut buffer).await.unwrap() {
                0 => {}
                length => {
                    bytes.extend_from_slice(&buffer[..length]);
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"no TLS here\n").await;
                }
            }
            heard.push(bytes);
        }
        heard
    });
    let tls = endpoints::platform_tls().unwrap();
    let findings = endpoints::probe(wanted, tls, Duration::from_secs(20)).await;
    let severities: Vec<_> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Ok, Severity::Error, Severity::Error], "{findings:?}");
    assert!(findings[1].what.contains("cannot be reached: Connection refused"), "{findings:?}");
    assert!(!format!("{findings:?}").contains("secret"));
    let heard = peers.join_next().await.unwrap().unwrap();
    assert!(heard.iter().any(Vec::is_empty), "nothing is sent over plain connections");
}
