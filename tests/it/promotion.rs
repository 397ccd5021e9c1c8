//! The primary is lost and a standby promoted in its place: what the standby had goes on, what it had not is a gap.

use crate::operations::Endpoint;
use crate::running::{PATIENCE, Site};
use crate::version::lacks;
use std::time::{Duration, Instant};
use walhook::demo::cluster::Cluster;
use walhook::postgres::{Address, Session, connect};

const SCHEMA: &str = "create table ticket (id integer primary key, title text);
    alter table ticket replica identity full;
    create table other (a int);
    select pg_create_physical_replication_slot('standby', true)";

const FORM: &str = r#"
[[forms]]
table = "ticket"
[[webhooks]]
name = "all"
form = "ticket"
events = ["create", "update", "delete"]
callback.url = "RECEIVER"
"#;

/// A primary with its standby, and a walhook that knows both.
struct Pair {
    site: Site,
    standby: Cluster,
    endpoint: Endpoint,
}

impl Pair {
    async fn new() -> Self {
        let endpoint = Endpoint::start().await;
        let site = Site::new(SCHEMA).await;
        let mut settings = vec!["primary_slot_name = 'standby'", "hot_standby_feedback = on"];
        if site.cluster.major_version() >= 17 {
            settings.push("sync_replication_slots = on");
        }
        let standby = Cluster::start_standby(&site.cluster, &settings).unwrap();
        site.configure_source(
            &format!(
                "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=primary",
                site.cluster.port(),
                standby.port()
            ),
            &FORM.replace("RECEIVER", &endpoint.url()),
        );
        Self { site, standby, endpoint }
    }

    async fn on_standby(&self) -> Session {
        connect(&Address::parse(&self.standby.url("postgres")).unwrap(), "application").await.unwrap()
    }

    /// Waits until the standby has replayed all that the primary has written.
    async fn until_replayed(&self) {
        let written = "select pg_current_wal_insert_lsn()::text";
        let written: String = self.site.session().await.query_one(written, &[]).await.unwrap().get(0);
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{written}'");
        until(&self.on_standby().await, &replayed).await;
    }

    /// Waits until the standby keeps a copy of the slot. It makes one as soon as the slot has moved up to where the
    /// standby is: what moves it is a look at the running transactions, which the server else takes now and then.
    async fn until_copied(&self) {
        const COPIED: &str = "select exists (select from pg_replication_slots where slot_name = 'walhook'
            and failover and synced and not temporary and invalidation_reason is null)";
        let (primary, standby) = (self.site.session().await, self.on_standby().await);
        let started = Instant::now();
        primary.batch_execute("insert into other values (1)").await.unwrap();
        while !standby.query_one(COPIED, &[]).await.unwrap().get::<_, bool>(0) {
            assert!(started.elapsed() < PATIENCE, "the standby does not copy the slot");
            primary.batch_execute("select pg_log_standby_snapshot()").await.unwrap();
            // walhook confirms and the standby copies in between, and nothing tells of it here
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn promote(&self) {
        let promoted = self.on_standby().await.query_one("select pg_promote()", &[]).await.unwrap();
        assert!(promoted.get::<_, bool>(0));
    }
}

/// Waits for a condition that the server tells: nothing else tells of it.
async fn until(session: &Session, condition: &str) {
    let started = Instant::now();
    while session.query_opt(condition, &[]).await.unwrap().is_none_or(|row| !row.get::<_, bool>(0)) {
        assert!(started.elapsed() < PATIENCE, "{condition}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_with_a_copy_of_the_slot_goes_on_without_a_gap() {
    let pair = Pair::new().await;
    if lacks(&pair.site.cluster, 17, "failover slots") {
        return;
    }
    let running = pair.site.start().await;
    let session = pair.site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    pair.endpoint.wait_for("all", "1").await;
    pair.until_copied().await;

    // the endpoint is away: what is not delivered stands in the queue, and the slot is ahead of deliveries
    pair.endpoint.answers(503);
    session.batch_execute("insert into ticket values (2)").await.unwrap();
    pair.until_replayed().await;
    assert_eq!(running.stop(), 0);
    // this one nobody has read when the primary is lost
    session.batch_execute("insert into ticket values (3)").await.unwrap();
    pair.until_replayed().await;
    pair.site.cluster.down("immediate").unwrap();
    let running = pair.site.spawn(&[]);
    running.wait_until_logged("no connection").await;
    pair.promote().await;
    pair.endpoint.answers(200);
    pair.site.wait_until_ready(true).await;
    pair.endpoint.wait_for("all", "2").await;
    pair.endpoint.wait_for("all", "3").await;
    pair.on_standby().await.batch_execute("insert into ticket values (4)").await.unwrap();
    pair.endpoint.wait_for("all", "4").await;
    assert!(!running.log().contains("changes may be missing"), "{}", running.log());
    assert_eq!(running.stop(), 0);
}

/// A slot that a standby keeps for its promotion cannot be read. It was taken for an invalidated one, and the
/// operator told to drop it.
#[tokio::test(flavor = "multi_thread")]
async fn a_standbys_copy_of_the_slot_is_left_alone_and_waited_for() {
    let pair = Pair::new().await;
    if lacks(&pair.site.cluster, 17, "failover slots") {
        return;
    }
    let running = pair.site.start().await;
    pair.until_copied().await;
    assert_eq!(running.stop(), 0);
    pair.site
        .configure_source(&pair.standby.url("postgres"), &FORM.replace("RECEIVER", &pair.endpoint.url()));
    let running = pair.site.spawn(&[]);
    running.wait_until_logged("is a standby's copy of its primary's slot").await;
    let (code, output) = pair.site.run(&["resume", "--accept-gap"]);
    assert!(code != 0 && output.contains("once the standby is promoted"), "{code} {output}");
    pair.promote().await;
    pair.site.wait_until_ready(true).await;
    pair.on_standby().await.batch_execute("insert into ticket values (1)").await.unwrap();
    pair.endpoint.wait_for("all", "1").await;
    assert!(!running.log().contains("pg_drop_replication_slot"), "{}", running.log());
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_was_promoted_before_our_position_is_a_gap_until_somebody_accepts_it() {
    let pair = Pair::new().await;
    let running = pair.site.start().await;
    let session = pair.site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    pair.endpoint.wait_for("all", "1").await;
    if pair.standby.major_version() >= 17 {
        pair.until_copied().await;
    }
    pair.standby.down("fast").unwrap();
    // the standby will never know of this
    session.batch_execute("insert into ticket values (2)").await.unwrap();
    pair.endpoint.wait_for("all", "2").await;
    pair.site.cluster.down("immediate").unwrap();
    pair.standby.up().unwrap();
    pair.promote().await;
    let said = pair.site.wait_until_it_says("changes may be missing").await;
    assert!(said.contains("the server left timeline 1 at") && said.contains("before our position"), "{said}");

    let (code, output) = pair.site.run(&["resume", "--accept-gap"]);
    assert_eq!(code, 0, "{output}");
    pair.site.wait_until_ready(true).await;
    pair.on_standby().await.batch_execute("insert into ticket values (3)").await.unwrap();
    pair.endpoint.wait_for("all", "3").await;
    assert_eq!(running.stop(), 0);
}

/// Before failover slots a promoted standby has everything but the slot.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_without_the_slot_is_a_gap_until_somebody_accepts_it() {
    let pair = Pair::new().await;
    let running = pair.site.start().await;
    let session = pair.site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    pair.endpoint.wait_for("all", "1").await;
    pair.until_replayed().await;
    assert_eq!(running.stop(), 0);
    pair.site.cluster.down("immediate").unwrap();
    pair.promote().await;
    let promoted = pair.on_standby().await;
    let drop =
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = 'walhook'";
    promoted.batch_execute(drop).await.unwrap();
    let running = pair.site.spawn(&[]);
    let said = pair.site.wait_until_it_says("changes may be missing").await;
    assert!(said.contains("is gone"), "{said}");
    let (code, output) = pair.site.run(&["resume", "--accept-gap"]);
    assert_eq!(code, 0, "{output}");
    pair.site.wait_until_ready(true).await;
    promoted.batch_execute("insert into ticket values (2)").await.unwrap();
    pair.endpoint.wait_for("all", "2").await;
    assert_eq!(running.stop(), 0);
}
