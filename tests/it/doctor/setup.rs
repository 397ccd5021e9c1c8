//! What setup makes, teardown removes, and neither may break.

use super::{House, TABLES, session};
use std::process::Command;
use tokio_postgres::error::SqlState;
use walhook::doctor::facts::Facts;
use walhook::doctor::finding::Severity;
use walhook::doctor::plan::{self, StepEnd};
use walhook::doctor::{Error, check, handover, setup, teardown};
use walhook::postgres::Session;

// R-NA-08
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

/// A table was renamed, walhook followed it, and the next `setup --apply` took it out of the publication, for no
/// form had its new name: from then on its changes were lost. While a form's table is not found, what is
/// published stays so.
#[tokio::test]
async fn a_table_that_was_renamed_stays_published() {
    let house = House::ready(&["incident", "note"]).await;
    house
        .sql("alter table helpdesk.incident rename to ticket; alter table helpdesk.note rename to remark")
        .await;
    let plan = house.plan(&setup::Options::default()).await;
    assert_eq!(plan.steps, [], "{plan}");
    let report = house.check().await;
    let lost = House::find(&report, "form \"The incident\"", "table helpdesk.incident does not exist");
    assert_eq!(lost.severity, Severity::Error);
    house.sql("alter table helpdesk.ticket rename to incident").await;
    assert_eq!(house.plan(&setup::Options::default()).await.steps, [], "the other one is still not found");
}

/// The publication had been made by hand, and walhook was down when `setup --apply` added the second one, empty:
/// the slot was older, could not be decoded any more, and had to be dropped with all changes in it.
#[tokio::test]
async fn no_empty_publication_is_made_that_is_younger_than_the_slot() {
    let house = House::with(&[], &["incident"]).await;
    house
        .sql(
            "create publication walhook for table only helpdesk.incident with (publish_via_partition_root = true);
             grant usage on schema helpdesk to walhook",
        )
        .await;
    assert_eq!(house.plan(&setup::Options::default()).await.steps.len(), 1, "before the slot it is made");
    house.sql("select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    let plan = house.plan(&setup::Options::default()).await;
    assert_eq!(plan.steps, [], "{plan}");
}

/// What would have happened to the application, had `setup` published what it was told to.
// R-NA-08
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
    let remark = |plan: &walhook::doctor::Plan, form: &str| {
        let form = format!("form \"The {form}\"");
        plan.remarks.iter().find(|remark| remark.object == form).map(|remark| remark.what.clone())
    };
    assert!(remark(&plan, "raw").unwrap().contains("partitions to come would not inherit the identity"));
    assert_eq!(remark(&plan, "note"), None);
    let unasked = house.plan(&setup::Options::default()).await;
    assert!(unasked.steps.iter().all(|step| !step.alters_table));
    assert_eq!(
        remark(&unasked, "note").unwrap(),
        "helpdesk.note has no replica identity, so only its inserts are published; --replica-identity-full \
         \"The note\" would execute: alter table helpdesk.note replica identity full; cost: every update and \
         delete writes the whole old row to the WAL as well; a short exclusive lock"
    );
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

/// Somebody who may do nothing asks for the file; who executes it has only psql. With a role and tables that are
/// called as they like, and a server that logs no rows yet.
#[tokio::test]
async fn the_file_for_the_dba_is_all_that_is_needed() {
    let mut house = House::with(&["wal_level=replica"], &TABLES).await;
    house.needs.role = Some("Hook;\ndrop".into());
    house.sql("create role nobody login").await;
    let nobody = session(&house.cluster, "nobody").await;
    let file = async |house: &House, who: &Session| {
        let facts = Facts::gather(who, &house.needs).await.unwrap();
        let options = setup::Options {
            create_role: true,
            replica_identity_full: vec!["The note".into()],
            ..Default::default()
        };
        let plan = setup::plan(&facts, &house.needs, &options).unwrap();
        handover::to_administrator(&facts, &house.needs, &plan)
    };
    let text = file(&house, &nobody).await;
    for part in ["RESTARTED", "-- worth a thought: setting max_slot_wal_keep_size", "but where it is said"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert_eq!(text, file(&house, &house.dba).await, "who asks makes no difference");

    let path = house.cluster.folder().join("for-the-dba.sql");
    std::fs::write(&path, &text).unwrap();
    let address = house.cluster.url("postgres");
    let mut psql = Command::new(house.cluster.bin().join("psql"));
    psql.args(["-v", "ON_ERROR_STOP=1", "-qf"]).arg(&path).arg(address);
    let psql = psql.output().unwrap();
    assert!(psql.status.success(), "{}\n{text}", String::from_utf8_lossy(&psql.stderr));
    let left = file(&house, &nobody).await;
    assert!(left.contains("setting wal_level is replica") && !left.contains("create"), "{left}");
    house.application_works().await;

    let House { cluster, needs, dba } = house;
    drop((nobody, dba));
    cluster.down("fast").unwrap();
    cluster.up().unwrap();
    let dba = session(&cluster, "postgres").await;
    let house = House { cluster, dba, needs };
    assert!(!house.check().await.has_errors(), "{}", house.check().await);
    let all = file(&house, &house.dba).await;
    assert_eq!(all, "-- Database \"postgres\" has everything that walhook needs.\n");
    house.application_works().await;
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

/// Begins to read a slot as another consumer would, until the connection is dropped.
async fn read(house: &House, slot: &str) -> tokio::net::TcpStream {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", house.cluster.port())).await.unwrap();
    let parameters = b"user\0walhook\0database\0postgres\0replication\0database\0\0";
    let length = u32::try_from(parameters.len() + 8).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(&196_608_u32.to_be_bytes()).await.unwrap();
    stream.write_all(parameters).await.unwrap();
    let start = format!("START_REPLICATION SLOT {slot} LOGICAL 0/0\0");
    stream.write_all(b"Q").await.unwrap();
    stream.write_all(&u32::try_from(start.len() + 4).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(start.as_bytes()).await.unwrap();
    // the answer to the login
    assert_eq!(stream.read_u8().await.unwrap(), b'R');
    stream
}

#[tokio::test]
async fn a_slot_that_is_read_is_not_torn_down() {
    let house = House::ready(&["incident"]).await;
    house.sql("select pg_create_logical_replication_slot('walhook', 'test_decoding')").await;
    let reader = read(&house, "walhook").await;
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
    drop(reader);
    while house.facts().await.slot.unwrap().active_pid.is_some() {}
    // what decodes for others is no slot of ours
    let finding = House::find(&house.check().await, "slot \"walhook\"", "decodes with test_decoding");
    assert_eq!(finding.severity, Severity::Error);
}
