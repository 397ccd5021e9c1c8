//! A connection that holds, but badly.

use super::{begin, proxy::Flow};
use crate::proof::stage::setting;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_piece_takes_its_time() {
    let (mut trial, proxy) = begin("fault-latency").await;
    let slow = Flow { pause: Duration::from_millis(20), ..Flow::default() };
    proxy.weather(|weather| (weather.up, weather.down) = (slow, slow));
    trial.work(200).await;
    trial.hear(50).await;
    trial.judge().await;
}

/// No message arrives whole, the startup's and the log's neither.
///
/// Only in the long form (`LONG=1`): the short one has what is like it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_come_one_by_one() {
    if setting("LONG", 0) == 0 {
        return;
    }
    let (mut trial, proxy) = begin("fault-one-by-one").await;
    let tiny = Flow { piece: 1, ..Flow::default() };
    proxy.weather(|weather| (weather.up, weather.down) = (tiny, tiny));
    trial.kill().await;
    trial.stage.walhook.start();
    trial.work(200).await;
    trial.hear(50).await;
    trial.judge().await;
}

/// 4 s of silence end a connection; a transaction of half a megabyte takes longer than that through a line of
/// 64 kB/s, and the server hears of us meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_comes_through_a_thin_line() {
    let (mut trial, proxy) = begin("fault-thin-line").await;
    let thin = Flow { piece: 1024, pause: Duration::from_millis(15), ..Flow::default() };
    proxy.weather(|weather| weather.down = thin);
    trial.let_work(100);
    trial.told.push(trial.workload.bulk(100, 2_500).await);
    trial.hear(2_500).await;
    assert!(!trial.stage.walhook.log().contains("a task failed"), "{}", trial.stage.walhook.log_tail());
    trial.judge().await;
}
