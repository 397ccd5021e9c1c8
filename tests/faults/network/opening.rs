//! A connection that breaks while it is opened, on the first start and later.

use super::proxy::{Door, Fate, Proxy, Then};
use super::{begin, prepare, wait_for_readyz, wait_for_server};
use crate::proof::stage::{Stage, setting};
use crate::proof::trial::Trial;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_for_a_while() {
    let (mut trial, proxy) = begin("fault-refused").await;
    trial.work(100).await;
    trial.hear(20).await;
    proxy.weather(|weather| weather.door = Door::Closed);
    proxy.befall("", Fate::Cut);
    trial.let_work(100);
    trial.wait_for_log(0, "Connection refused").await;
    wait_for_readyz(&trial.stage, "capture is failing").await;
    proxy.weather(|weather| weather.door = Door::Slammed);
    trial.wait_for_log(0, "no connection to PostgreSQL at 127.0.0.1").await;
    proxy.clear();
    trial.hear(20).await;
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

/// A listener without a server behind it: the connection stands, and nobody speaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_and_not_answered() {
    let (mut trial, proxy) = begin("fault-mute").await;
    trial.work(100).await;
    trial.kill().await;
    let url = format!("{}&connect_timeout=2", proxy.url("postgres"));
    trial.stage.walhook.configure(&trial.stage.configuration(&url));
    proxy.weather(|weather| weather.door = Door::Mute);
    trial.let_work(100);
    trial.stage.walhook.start();
    trial.wait_for_log(0, "did not answer within 2 s").await;
    wait_for_readyz(&trial.stage, "did not answer within 2 s").await;
    proxy.clear();
    trial.hear(20).await;
    trial.judge().await;
}

/// What is said while a connection is opened, and what becomes of it: the server does not hear it, or its answer is
/// lost. The short form plays the first three.
const OPENINGS: [(&str, Then); 8] = [
    ("START_REPLICATION", Then::CutAtAnswer),
    ("walhook catalog", Then::CutAtAnswer),
    ("IDENTIFY_SYSTEM", Then::CutAtAnswer),
    ("replication", Then::CutBefore),
    ("START_REPLICATION", Then::CutBefore),
    ("walhook catalog", Then::CutBefore),
    ("IDENTIFY_SYSTEM", Then::CutBefore),
    ("replication", Then::CutAtAnswer),
];

/// Every time, the next connection comes through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_while_it_is_opened() {
    let (mut trial, proxy) = begin("fault-opening").await;
    trial.work(100).await;
    let openings = if setting("LONG", 0) > 0 { &OPENINGS[..] } else { &OPENINGS[..3] };
    for (number, &(words, then)) in openings.iter().enumerate() {
        trial.kill().await;
        trial.let_work(20);
        proxy.trap(words, then);
        let log = trial.stage.walhook.log().len();
        trial.stage.walhook.start();
        proxy.until_sprung(number as u64 + 1).await;
        trial.wait_for_log(log, "a task failed and is tried again").await;
        trial.wait_for_log(log, "the stream runs").await;
    }
    trial.judge().await;
}

/// The words of a first start, up to the slot that nobody knows of yet.
const FIRST_WORDS: [&str; 3] = ["CREATE_REPLICATION_SLOT", "IDENTIFY_SYSTEM", "START_REPLICATION"];

/// The slot that stands although its maker never heard of it is taken over: changes count from it on, and there is
/// no second one. `LONG=1` breaks at the other words, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_on_the_very_first_start() {
    let words = if setting("LONG", 0) > 0 { &FIRST_WORDS[..] } else { &FIRST_WORDS[..1] };
    for (number, words) in words.iter().enumerate() {
        for then in [Then::CutBefore, Then::CutAtAnswer] {
            let (stage, proxy) = prepare(&format!("fault-first-start-{number}-{then:?}")).await;
            proxy.trap(words, then);
            let trial = first_start(stage, &proxy).await;
            let query = "select count(*) = 1 from pg_replication_slots where slot_name <> 'witness'";
            wait_for_server(&trial.stage, query).await;
            trial.judge().await;
        }
    }
}

/// Starts walhook into the trap. Changes count from when the server has made the slot, whoever knows of it.
async fn first_start(mut stage: Stage, proxy: &Proxy) -> Trial {
    stage.walhook.start();
    proxy.until_sprung(1).await;
    wait_for_server(&stage, STANDS).await;
    let mut trial = Trial::on(stage, 1);
    trial.work(50).await;
    let log = trial.wait_for_log(0, "a task failed and is tried again").await;
    trial.wait_for_log(log, "the stream runs").await;
    trial.hear(10).await;
    trial
}

/// Whether the slot has a position: what commits from now on is behind it.
const STANDS: &str = "select exists (select from pg_replication_slots
    where slot_name = 'walhook' and confirmed_flush_lsn is not null)";

/// The story: creating a slot waits for every open transaction, and the server's process goes on waiting when
/// walhook is gone. A walhook that was started again meanwhile (the operator was impatient) found a slot without
/// a position, took the highest there is for it, stored that, and was refused for ever after: "the server was
/// rewound". Now it waits until the slot is complete or gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_slot_waits_for_an_open_transaction() {
    let (mut stage, _proxy) = prepare("fault-slot-waits").await;
    let sleeper = crate::proof::workload::connect(&stage.cluster.url("postgres")).await;
    sleeper.batch_execute("begin; insert into desk.unmapped (payload) values ('open')").await.unwrap();
    stage.walhook.start();
    let waits = "select exists (select from pg_replication_slots where slot_name = 'walhook' and active)";
    wait_for_server(&stage, waits).await;
    wait_for_readyz(&stage, "that waits for every open transaction of the server").await;
    stage.walhook.kill();
    stage.walhook.start();
    wait_for_readyz(&stage, "waiting for slot").await;
    sleeper.batch_execute("commit").await.unwrap();
    wait_for_server(&stage, STANDS).await;
    let mut trial = Trial::on(stage, 1);
    trial.work(100).await;
    trial.hear(20).await;
    trial.judge().await;
}

/// What a connection says before it streams; the server's answer never comes. It takes half a minute each time, so
/// only in the long form (`LONG=1`); the limit itself is tested with turned clocks where it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_while_it_is_opened() {
    if setting("LONG", 0) == 0 {
        return;
    }
    let (mut trial, proxy) = begin("fault-silent-opening").await;
    trial.work(50).await;
    for (number, words) in SILENT_WORDS.iter().enumerate() {
        trial.kill().await;
        proxy.trap(words, Then::Silence);
        let log = trial.stage.walhook.log().len();
        trial.stage.walhook.start();
        proxy.until_sprung(number as u64 + 1).await;
        trial.let_work(20);
        trial.wait_for_log(log, "a task failed and is tried again").await;
        wait_for_readyz(&trial.stage, "capture is failing").await;
        trial.wait_for_log(log, "the stream runs").await;
    }
    trial.judge().await;
}

const SILENT_WORDS: [&str; 4] =
    ["IDENTIFY_SYSTEM", "pg_replication_slots", "walhook catalog", "START_REPLICATION"];
