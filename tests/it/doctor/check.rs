//! Every trouble planted once: what check finds, and whether its remedy mends it.

use super::{House, session};
use crate::version::lacks;
use std::time::Duration;
use walhook::doctor::facts::Facts;
use walhook::doctor::finding::{Mend, Severity};
use walhook::doctor::plan::{self, StepEnd};
use walhook::doctor::{check, setup};
use walhook::form::{Field, OldValues};
use walhook::postgres::{Address, connect};
use walhook::source::Control;

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
    assert!(house.plan(&setup::Options::default()).await.to_string().contains("wal_level: is replica"));
    house.cluster.down("fast").unwrap();
    house.cluster.up().unwrap();
    house.dba = session(&house.cluster, "postgres").await;
    assert!(!house.plan(&setup::Options::default()).await.has_errors());
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

/// Whoever streams is a standby to the server: with such a list the application's commits wait for walhook.
#[tokio::test]
async fn commits_that_wait_for_walhook_are_a_warning() {
    let house = House::ready(&["incident"]).await;
    house.sql("alter system set synchronous_standby_names = 'ANY 1 (*)'").await;
    house.sql("select pg_reload_conf()").await;
    let found = async {
        loop {
            let report = house.check().await;
            let finding = report.findings.into_iter().find(|one| one.object == "synchronous_standby_names");
            if let Some(finding) = finding {
                break finding;
            }
        }
    };
    let finding = tokio::time::timeout(Duration::from_secs(20), found).await.unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.what.contains("means walhook too"), "{}", finding.what);
}

#[tokio::test]
async fn a_limit_of_idle_slots_is_a_warning() {
    let house = House::ready(&["incident"]).await;
    if lacks(&house.cluster, 18, "idle_replication_slot_timeout") {
        return;
    }
    house.sql("alter system set idle_replication_slot_timeout = '2h'").await;
    house.sql("select pg_reload_conf()").await;
    house.mends(Severity::Warning, "idle_replication_slot_timeout", "is 120 min").await;
}

#[tokio::test]
async fn a_slot_that_standbys_do_not_copy_is_a_note() {
    let house = House::ready(&["incident"]).await;
    if lacks(&house.cluster, 17, "failover slots") {
        return;
    }
    house.sql("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    let finding = House::find(&house.check().await, "slot \"walhook\"", "is no failover slot");
    assert_eq!(finding.severity, Severity::Note);
    house.sql("select pg_drop_replication_slot('walhook')").await;
    let address = Address::parse(&house.cluster.url("postgres")).unwrap();
    let mut control = Control::connect(&address, "test").await.unwrap();
    control.create_slot("walhook", "pgoutput").await.unwrap();
    let report = house.check().await;
    assert!(!report.to_string().contains("failover"), "{report}");
}

/// Who may not make the role leaves to the administrator what needs it, too.
#[tokio::test]
async fn what_needs_a_role_that_is_not_there_is_left_with_it() {
    let mut house = House::with(&[], &["incident"]).await;
    house.needs.role = Some("reader".into());
    house.sql("grant create on database postgres to app").await;
    let app = session(&house.cluster, "app").await;
    let options = setup::Options { create_role: true, ..Default::default() };
    let facts = Facts::gather(&app, &house.needs).await.unwrap();
    let plan = setup::plan(&facts, &house.needs, &options).unwrap();
    let mut ends = Vec::new();
    plan::apply(&app, &plan, |_, end| ends.push(end)).await.unwrap();
    assert_eq!(ends, [StepEnd::Left, StepEnd::Left, StepEnd::Done, StepEnd::Done], "{plan}");
    house.sql(&plan.script_for_administrator().unwrap()).await;
    assert!(!house.check().await.has_errors());
}

#[tokio::test]
async fn what_the_role_lacks_is_found_and_mended() {
    let house = House::ready(&["incident"]).await;
    house.sql("alter role walhook noreplication; revoke connect on database postgres from public; revoke usage on schema helpdesk from walhook").await;
    house.mends(Severity::Error, "role \"walhook\"", "no replication attribute").await;
    house.mends(Severity::Error, "role \"walhook\"", "may not connect").await;
    house
        .mends(Severity::Error, "role \"walhook\"", "may not look up tables by name in schema helpdesk")
        .await;
    house.sql("alter role walhook nologin").await;
    house.mends(Severity::Error, "role \"walhook\"", "may not log in").await;
    house.sql("drop owned by walhook; drop role walhook").await;
    house.mends(Severity::Error, "role \"walhook\"", "does not exist").await;
}

#[tokio::test]
async fn what_the_publications_lack_is_found_and_mended() {
    let house = House::with(&[], &["incident", "note"]).await;
    house.sql("grant usage on schema helpdesk to walhook").await;
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
    if !lacks(&house.cluster, 15, "row filters, column lists and schemas of publications") {
        house.sql("alter publication walhook set table helpdesk.incident where (number > 'a')").await;
        house.mends(Severity::Error, object, "row filter or a column list").await;
        house.sql("alter publication walhook set table helpdesk.incident (number)").await;
        house.mends(Severity::Error, object, "row filter or a column list").await;
        house.sql("alter publication walhook add tables in schema helpdesk").await;
        house.mends(Severity::Error, object, "publishes all tables of schema helpdesk").await;
    }
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
        House::with(&["max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB"], &["incident"])
            .await;
    house.set_up(&setup::Options::default()).await;
    let object = "slot \"walhook\"";
    house.sql("select pg_create_physical_replication_slot('walhook')").await;
    House::find(&house.check().await, object, "is a physical slot");
    house.sql("select pg_drop_replication_slot('walhook')").await;
    house.sql("create database other").await;
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
    let house = House::with(&[], &["incident", "note"]).await;
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
    let decoding = "select count(*) from pg_logical_slot_peek_binary_changes('walhook', null, null, 'proto_version', '1', 'publication_names', 'walhook') where get_byte(data, 0) = ascii('I')";
    match house.dba.query_one(decoding, &[]).await {
        // from 18 on the server leaves the changes out
        Ok(row) => assert_eq!(row.get::<_, i64>(0), 0),
        Err(refused) => {
            let message = refused.as_db_error().unwrap().message();
            assert!(message.contains("does not exist"), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn forms_that_do_not_fit_their_tables_are_found() {
    let mut house = House::ready(&["incident", "note", "nowhere", "open", "scratch", "event_2026"]).await;
    house.change_form(1, |form| form.entry_id.clear());
    house.change_form(0, |form| {
        form.record_id = Some("guid".into());
        form.fields = vec![Field {
            name: "Status".into(),
            column: "state".into(),
            id: None,
            labels: vec![],
            meaning: None,
        }];
    });
    let report = house.check().await;
    for (form, what, key) in [
        ("incident", "has no column \"guid\"", "[[forms]] record_id: one of number, status, detail"),
        ("incident", "has no column \"state\"", "[[forms]] fields: one of number, status, detail"),
        ("note", "has no primary key to take the entry id from", "[[forms]] entry_id: some of id, body"),
        (
            "nowhere",
            "table helpdesk.nowhere does not exist",
            "[[forms]] table: a table of this database, as \"schema.table\"; if it was renamed, its new name",
        ),
        (
            "open",
            "is a view; it cannot be published",
            "[[forms]] table: what it shows rows of: helpdesk.incident",
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
    house.change_form(0, |form| form.ignore = vec!["detail".into()]);
    house.mends(Severity::Warning, "form \"The incident\"", "an update of detail alone").await;
    house.change_form(0, |form| form.old_values = OldValues::None);
    let finding = House::find(&house.check().await, "form \"The incident\"", "an update of detail alone");
    assert!(matches!(finding.mend, Some(Mend::Key(_))), "{finding:?}");
    house.sql("alter table helpdesk.incident replica identity default").await;
    house.change_form(0, |form| form.old_values = OldValues::Log);
    house.mends(Severity::Error, "form \"The incident\"", "old_values = \"log\"").await;

    house.mends(Severity::Warning, "form \"The note\"", "only creates are told").await;
    house.application_works().await;

    house.sql("alter table helpdesk.event replica identity full").await;
    house.mends(Severity::Warning, "form \"The event\"", "but not its helpdesk.event_2026").await;
}

/// Without a schema: the search path, then `public`, then the only one there is, as when forms are bound.
#[tokio::test]
async fn a_name_without_schema_means_one_table_or_none() {
    let mut house = House::with(&[], &["incident", "twice", "nowhere", "pair"]).await;
    house.sql("create schema other; create schema third").await;
    house
        .sql("create table other.twice (id int primary key); create table third.twice (id int primary key)")
        .await;
    house.sql("create table public.pair (id int primary key); create table helpdesk.pair (id int)").await;
    for number in 0..4 {
        house.change_form(number, |form| form.schema = None);
    }
    let report = house.check().await;
    House::find(&report, "form \"The twice\"", "there is a table twice in several schemas: other, third");
    House::find(&report, "form \"The nowhere\"", "table nowhere does not exist");
    House::find(&report, "form \"The incident\"", "helpdesk.incident logs old values only of its key");
    House::find(&report, "form \"The pair\"", "public.pair logs old values only of its key");
    house.sql("set search_path = helpdesk, third").await;
    let report = house.check().await;
    House::find(&report, "form \"The twice\"", "third.twice logs old values only");
    House::find(&report, "form \"The pair\"", "helpdesk.pair has no primary key");
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
