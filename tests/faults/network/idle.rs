//! Nothing happens for long, or nothing can be taken for long.

use super::{ask, begin, wait_for_readyz, walsender};
use crate::proof::stage::{Stage, setting};
use crate::proof::trial::{Trial, is_unwanted};
use crate::proof::world::HOOKS;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use walhook::demo::receiver::{Answer, Judge};

/// How much of the log an idle publication may hold back: a segment or two, and a position that is stored and told
/// every few seconds.
const RETAINED_BYTES_MAX: i64 = 24 << 20;

/// Several times the server's patience, while others write. `IDLE=3600` is the idle hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_happens_for_long() {
    let length = Duration::from_secs(setting("IDLE", 9));
    let (mut trial, _proxy) = begin("fault-idle").await;
    trial.work(50).await;
    trial.hear(10).await;
    let before = walsender(&trial.stage).await.unwrap();
    let memory = trial.stage.walhook.note_memory();
    let began = Instant::now();
    while began.elapsed() < length {
        // 1 MB of log that concerns no form
        let sql = "insert into desk.unmapped (payload) select repeat(md5(g::text), 32) from generate_series(1, 900) g";
        trial.stage.client.execute(sql, &[]).await.unwrap();
        tokio::time::sleep(length.min(Duration::from_secs(50)) / 50).await;
    }
    wait_until_released(&trial.stage).await;
    assert_eq!(walsender(&trial.stage).await, Some(before), "the connection stands");
    assert!(ask(&trial.stage, "/readyz").await.contains("200 OK"));
    let grown = trial.stage.walhook.note_memory().saturating_sub(memory);
    assert!(grown < 8_000, "memory grew by {grown} kB in {length:?}");
    trial.work(50).await;
    trial.judge().await;
}

async fn wait_until_released(stage: &Stage) {
    let began = Instant::now();
    loop {
        stage.client.batch_execute("checkpoint").await.unwrap();
        let retained = stage.retained_bytes().await.unwrap();
        if retained < RETAINED_BYTES_MAX {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{retained} bytes are held back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The story: a small queue that its endpoints had emptied stayed "full" for ever, for what had been waiting in
/// the log came as one batch larger than the queue, again and again, although each transaction would have fitted.
/// Batches are a small part of the queue now.
///
/// The endpoints refuse, the queue is full, capture waits for room for longer than the server waits for a consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_full_for_longer_than_the_server_waits() {
    let is_open = Arc::new(AtomicBool::new(false));
    let judge: Judge = {
        let is_open = Arc::clone(&is_open);
        Arc::new(move |request| match () {
            () if !is_open.load(Ordering::Relaxed) => Answer::Status(503),
            () if is_unwanted(request) => Answer::Status(422),
            () => Answer::Status(204),
        })
    };
    let mut stage = Stage::prepare("fault-queue-full", &HOOKS, judge).await;
    let toml = stage.configuration(&stage.cluster.url("postgres"));
    // patient enough that no delivery is given up meanwhile
    let toml = toml
        .replace("path = \"walhook.db\"", "path = \"walhook.db\"\nbytes_max = \"1MiB\"")
        // the queue's limit is meant here, not a webhook's
        .replace("timeout = \"2s\"", "timeout = \"2s\"\nbacklog_bytes_max = \"1MiB\"")
        .replace("\"100ms\", \"200ms\", \"500ms\"", "\"500ms\", \"1s\", \"2s\"");
    stage.walhook.configure(&toml);
    stage.start().await;
    let mut trial = Trial::on(stage, 1);
    trial.work(1_500).await;
    wait_for_readyz(&trial.stage, "the queue refused: the queue holds").await;
    trial.let_work(200);
    let full_since = Instant::now();
    while full_since.elapsed() < Duration::from_secs(5) {
        trial.rule.look_at_the_frozen(&trial.stage).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    wait_for_readyz(&trial.stage, "raise `[queue] bytes_max`").await;
    is_open.store(true, Ordering::Relaxed);
    // it ends the pause of capture, which has grown
    trial.stage.walhook.signal("-HUP");
    wait_for_readyz(&trial.stage, "200 OK").await;
    let log = trial.stage.walhook.log();
    assert!(!log.contains("was lost"), "the server never had to end a connection");
    trial.judge().await;
}
