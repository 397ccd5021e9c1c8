//! What nobody lists among the faults: operators, second processes and odd transactions that meet in bad moments.

use crate::former::as_version_4;
use crate::lanes::{THINGS, Thing, with_things};
use crate::proof::history::{Key, Op, Outcome, Told};
use crate::proof::process::Walhook;
use crate::proof::stage::{Stage, setting};
use crate::proof::trial::{Trial, closed_until};
use crate::proof::workload::connect;
use crate::proof::world::{HOOKS, PERSON, Val, column};
use crate::readiness::wait_for_readiness;
use crate::server::{gaps, number, rest, sql, start_running, wait_until_confirmed, wal_end};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long something may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(60);

/// A transaction that signs the book as the test's own.
async fn transaction(trial: &mut Trial, session: i32, statements: &str, ops: Vec<Op>) {
    let client = connect(&trial.stage.cluster.url("postgres")).await;
    let signed = format!("begin; insert into desk.book values ({session}, 0); {statements} commit;");
    client.batch_execute(&signed).await.unwrap();
    trial.told.push(Told { session, number: 0, ops, outcome: Outcome::Committed });
}

/// SQL that inserts people with names of some length, and what it does.
fn insert_people(ids: RangeInclusive<i64>, length: usize) -> (String, Vec<Op>) {
    let (first, last) = (*ids.start(), *ids.end());
    let statements = format!(
        "insert into desk.person select id, repeat(chr(97 + id % 26), {length}), true, '{{}}', null
         from generate_series({first}, {last}) id;"
    );
    let row = |id: i64| {
        let name = char::from(b'a' + (id % 26) as u8).to_string().repeat(length);
        vec![Val::Int(id), Val::text(name), Val::Bool(true), Val::Tags(vec![]), Val::Null]
    };
    (statements, ids.map(|id| Op::Insert { table: PERSON, row: Arc::new(row(id)) }).collect())
}

fn person(id: i64) -> Key {
    Key { table: PERSON, entry_id: id.to_string().into() }
}

/// A transaction of more bytes than are kept in memory: it is staged, and comes in parts.
async fn large_transaction(trial: &mut Trial, session: i32, first: i64) {
    let (statements, ops) = insert_people(first..=first + 109, 48_000);
    transaction(trial, session, &statements, ops).await;
}

/// A stage whose endpoints are closed for now, with webhooks that are patient enough for it.
async fn closed(name: &str, is_open: &Arc<AtomicBool>) -> Stage {
    let stage = Stage::prepare(name, &HOOKS, closed_until(is_open)).await;
    stage.walhook.configure(&patient(&stage));
    stage
}

fn patient(stage: &Stage) -> String {
    let toml = stage.configuration(&stage.cluster.url("postgres"));
    toml.replace("\"100ms\", \"200ms\", \"500ms\"", "\"500ms\", \"1s\", \"2s\"")
}

/// One of walhook's commands beside it, which must succeed or find nothing to do.
fn command(trial: &Trial, arguments: &[&str]) -> String {
    let output = trial.stage.walhook.run(arguments);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {said}");
    said
}

/// Supervisors that overlap start two walhooks at once, again and again. One of them has the queue, the other says
/// that it is in use and ends; nobody sends what the other sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_walhooks_race_for_the_queue_at_each_restart() {
    let mut trial = Trial::begin("attack-race").await;
    trial.work(60).await;
    let folder = trial.stage.folder.join("second");
    std::fs::create_dir_all(&folder).unwrap();
    let queue = trial.stage.folder.join("walhook.db").display().to_string();
    let toml = trial.stage.configuration(&trial.stage.cluster.url("postgres"));
    let toml =
        toml.replace(trial.stage.admin(), "127.0.0.1:0").replace("\"walhook.db\"", &format!("{queue:?}"));
    let mut second = Walhook::new(&folder, &toml);
    for round in 0..4 {
        second.kill();
        trial.kill().await;
        let heard = trial.stage.receiver.count();
        trial.work(60).await;
        if round % 2 == 0 {
            second.start();
            trial.stage.walhook.start();
        } else {
            trial.stage.walhook.start();
            second.start();
        }
        let began = Instant::now();
        while trial.stage.walhook.is_running() && second.is_running() {
            assert!(began.elapsed() < SEEN_MAX, "both have the queue");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (loser, winner) = if second.is_running() {
            (&mut trial.stage.walhook, &mut second)
        } else {
            (&mut second, &mut trial.stage.walhook)
        };
        let ended = loser.wait_until_ended(SEEN_MAX).expect("it has ended");
        assert_eq!(ended.code(), Some(69), "{}", loser.log_tail());
        assert!(loser.log().contains("in use"), "{}", loser.log_tail());
        assert!(winner.is_running(), "{}", winner.log_tail());
        let began = Instant::now();
        while trial.stage.receiver.count() < heard + 10 {
            assert!(began.elapsed() < SEEN_MAX, "nothing arrives:\n{}", winner.log_tail());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    second.kill();
    trial.kill().await;
    trial.stage.walhook.start();
    trial.judge().await;
}

/// walhook dies while the parts of a large transaction stand in its queue and do not count; the operator backs that
/// queue up, loses the original, and puts the copy back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_put_back_from_a_copy_with_half_a_large_transaction() {
    let mut trial = Trial::begin("attack-half-copied").await;
    trial.work(100).await;
    trial.hear(20).await;
    trial.kill().await;
    large_transaction(&mut trial, 20, 1_000_001).await;
    trial.stage.walhook.environment = vec![("WALHOOK_FAILPOINT".into(), "queue.part.after:3".into())];
    trial.stage.walhook.start();
    trial.stage.walhook.environment.clear();
    trial.stage.walhook.wait_until_ended(SEEN_MAX).expect("it dies");
    trial.died().await;
    let (queue, kept) = (trial.stage.folder.join("walhook.db"), trial.stage.folder.join("kept.db"));
    command(&trial, &["queue", "backup", "kept.db"]);
    let unpublished = "select count(*) from block where id > (select published_block from position)";
    let half: i64 = Connection::open(&kept).unwrap().query_row(unpublished, [], |row| row.get(0)).unwrap();
    assert!(half > 0, "the copy has nothing that does not count");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", queue.display()));
    }
    std::fs::rename(&kept, &queue).unwrap();
    start_running(&mut trial).await;
    trial.work(60).await;
    trial.judge().await;
}

/// People look at the queue, copy it and replay dead letters from other processes while a large transaction comes in
/// parts and small ones go out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_replayed_while_a_large_transaction_comes_in() {
    let mut trial = Trial::begin("attack-replayed").await;
    // some that the third webhook's endpoint refuses for good
    let (mut made, began) = (0, Instant::now());
    while !command(&trial, &["deliveries", "list", "--state", "dead"]).contains("come and gone") {
        assert!(began.elapsed() < SEEN_MAX, "no dead letter after {made} changes");
        trial.work(100).await;
        made += 100;
    }
    large_transaction(&mut trial, 20, 1_000_001).await;
    trial.let_work(600);
    let mut replayed = 0;
    for round in 0..4 {
        let arguments = ["--json", "deliveries", "replay", "--webhook", "come and gone", "--yes"];
        let said: serde_json::Value = serde_json::from_str(&command(&trial, &arguments)).unwrap();
        replayed += said["replayed"].as_u64().expect("a number");
        command(&trial, &["queue", "backup", &format!("{round}.db")]);
        trial.rule.look_at_the_frozen(&trial.stage).await;
    }
    assert!(replayed > 0);
    trial.kill().await;
    trial.stage.walhook.start();
    trial.judge().await;
}

/// An upgrade: the queue was written by the version before, has a backlog, and its process was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_the_version_before_is_opened_with_its_backlog() {
    let is_open = Arc::new(AtomicBool::new(false));
    let mut stage = closed("attack-upgraded", &is_open).await;
    stage.start().await;
    let mut trial = Trial::on(stage, 1);
    trial.work(150).await;
    trial.hear(4).await;
    let end = wal_end(&trial).await;
    wait_until_confirmed(&trial, end).await;
    trial.kill().await;
    trial.work(50).await;
    let pending = as_version_4(&trial.stage.folder.join("walhook.db")).await;
    assert!(pending > 20, "{pending}");
    start_running(&mut trial).await;
    is_open.store(true, Ordering::Relaxed);
    trial.work(60).await;
    trial.judge().await;
}

/// Two entries change places by way of a third key, in one transaction, again and again, and walhook dies between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_entries_change_places_in_one_transaction() {
    let (one, other, aside) = (1_000_001, 1_000_002, 1_000_003);
    let mut trial = Trial::begin("attack-swapped").await;
    let (statements, ops) = insert_people(one..=other, 10);
    transaction(&mut trial, 20, &statements, ops).await;
    for round in 0..6 {
        let mut statements = String::new();
        let mut ops = Vec::new();
        for (from, to) in [(one, aside), (other, one), (aside, other)] {
            statements += &format!("update desk.person set id = {to} where id = {from};");
            ops.push(Op::Rename { key: person(from), set: vec![(0, Val::Int(to))] });
        }
        let name = Val::text(format!("round {round}"));
        statements += &format!("update desk.person set name = {} where id = {one};", name.sql());
        ops.push(Op::Update { key: person(one), set: vec![(column::PERSON_NAME, name)] });
        transaction(&mut trial, 21 + round, &statements, ops).await;
        trial.let_work(40);
        if round % 2 == 1 {
            trial.hear(5).await;
            trial.kill().await;
            trial.stage.walhook.start();
        }
    }
    trial.judge().await;
}

/// `TOUCHES=100000` is the long form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_entry_is_touched_thousands_of_times_in_one_transaction() {
    let touches = setting("TOUCHES", 8_000);
    let mut trial = Trial::begin("attack-touched").await;
    trial.let_work(60);
    let (insert, mut ops) = insert_people(1_000_001..=1_000_001, 10);
    let touch = format!(
        "do $$ begin for i in 1..{touches} loop
             update desk.person set name = repeat('x', 500) || i where id = 1000001; end loop; end $$;"
    );
    ops.extend((1..=touches).map(|number| {
        let name = Val::text(format!("{}{number}", "x".repeat(500)));
        Op::Update { key: person(1_000_001), set: vec![(column::PERSON_NAME, name)] }
    }));
    transaction(&mut trial, 20, &format!("{insert} {touch}"), ops).await;
    trial.judge().await;
}

/// `[queue] bytes_max` is lowered below what the queue holds: capture waits, what is held goes out, and then capture
/// goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queues_limit_is_lowered_below_what_it_holds() {
    let is_open = Arc::new(AtomicBool::new(false));
    let mut stage = closed("attack-lowered", &is_open).await;
    stage.start().await;
    let mut trial = Trial::on(stage, 1);
    large_transaction(&mut trial, 20, 1_000_001).await;
    let end = wal_end(&trial).await;
    wait_until_confirmed(&trial, end).await;
    trial.kill().await;
    let lowered =
        patient(&trial.stage).replace("path = \"walhook.db\"", "path = \"walhook.db\"\nbytes_max = \"1MiB\"");
    trial.stage.walhook.configure(&lowered);
    trial.let_work(100);
    trial.stage.walhook.start();
    wait_for_readiness(&trial.stage, 503, "raise `[queue] bytes_max`").await;
    is_open.store(true, Ordering::Relaxed);
    wait_for_readiness(&trial.stage, 200, "").await;
    trial.judge().await;
}

/// The table of a large transaction is dropped while its rows are being staged, by a walhook that then dies: what was
/// committed before arrives all the same, in spite of a catalogue that knows nothing of it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_dropped_while_its_large_transaction_is_staged() {
    const ROWS: usize = 110;
    let stage =
        Stage::prepare("attack-dropped", &HOOKS, closed_until(&Arc::new(AtomicBool::new(true)))).await;
    stage.client.batch_execute(THINGS).await.unwrap();
    stage.walhook.configure(&with_things(&stage, &[Thing::of("thing", "id")]));
    let mut stage = stage;
    stage.start().await;
    let mut trial = Trial::on(stage, 1);
    trial.work(40).await;
    trial.hear(10).await;
    trial.kill().await;
    let fill = format!(
        "insert into desk.thing select id, repeat(id::text, 20000), 1 from generate_series(1, {ROWS}) id"
    );
    sql(&trial, &fill).await;
    sql(&trial, "drop table desk.thing").await;
    for name in ["queue.stage.after:1", "queue.part.after:2"] {
        trial.stage.walhook.environment = vec![("WALHOOK_FAILPOINT".into(), name.into())];
        trial.stage.walhook.start();
        trial.stage.walhook.environment.clear();
        trial.stage.walhook.wait_until_ended(SEEN_MAX).expect("it dies");
        trial.died().await;
    }
    trial.stage.walhook.start();
    let arrived = trial.stage.receiver.wait_until(|arrivals| {
        let things = arrivals.iter().filter(|one| one.request.path == "/things/5" && one.is_accepted());
        things.filter_map(|one| one.request.header("walhook-sequence")).collect::<BTreeSet<_>>().len() == ROWS
    });
    tokio::time::timeout(SEEN_MAX, arrived).await.expect("every row arrives");
    trial.wait_for_log(0, "a form no longer fits its table").await;
    trial.work(40).await;
    trial.judge().await;
}

/// SIGHUP again and again: under load, while a large transaction comes in, beside a gap and its acceptance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloaded_again_and_again_and_beside_a_gap() {
    let mut trial = Trial::begin("attack-reloaded").await;
    trial.work(60).await;
    // all of the large transaction may have come before the last of these rounds
    let heard = trial.stage.receiver.count();
    large_transaction(&mut trial, 20, 1_000_001).await;
    for _ in 0..12 {
        trial.let_work(20);
        trial.stage.walhook.signal("-HUP");
        trial.rule.look_at_the_frozen(&trial.stage).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    trial.hear_since(heard, 100).await;
    rest(&trial).await;
    let end = wal_end(&trial).await;
    wait_until_confirmed(&trial, end).await;
    trial.kill().await;
    sql(&trial, "select pg_drop_replication_slot('walhook')").await;
    trial.work(40).await;
    let said = trial.stage.walhook.log().len();
    trial.stage.walhook.start();
    trial.wait_for_log(said, "changes may be missing").await;
    for _ in 0..5 {
        trial.stage.walhook.signal("-HUP");
        trial.work(10).await;
    }
    assert_eq!(
        number(&trial, "select count(*) from pg_replication_slots where slot_name = 'walhook'").await,
        0
    );
    assert_eq!(gaps(&trial), []);
    let accepted = trial.stage.walhook.run(&["resume", "--accept-gap"]);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    for _ in 0..5 {
        trial.stage.walhook.signal("-HUP");
        trial.work(10).await;
    }
    trial.wait_for_log(said, "the stream runs").await;
    trial.work(40).await;
    let gaps = gaps(&trial);
    assert_eq!(gaps.len(), 1);
    trial.judge_beside(&gaps).await;
}
