//! The end-to-end proof: the real program, a real PostgreSQL, a real receiver, and everything killed in between.
//!
//! `SEED=7 KILLS=30 CHANGES=20000 BULK=200000 cargo test --test soak` plays it in full; without settings it is a
//! short form. A run that fails prints its seed and the first violations and leaves its files under
//! `target/tmp/soak-SEED`.

#![allow(missing_docs, unreachable_pub, clippy::disallowed_methods, clippy::unwrap_used)]

mod neighbours;
#[path = "../proof/mod.rs"]
mod proof;
mod scenes;

use proof::history::in_commit_order;
use proof::stage::setting;
use proof::workload::{Workload, connect};
use proof::{oracle, world};
use std::sync::Arc;
use walhook::demo::cluster::Cluster;

/// What the sessions told, put in the witness's order, is what the server holds: the ground that the oracle
/// stands on, checked through a crash of the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_what_the_server_did() {
    let cluster = Arc::new(tokio::task::spawn_blocking(|| Cluster::start(&[])).await.unwrap().unwrap());
    let url = cluster.url("postgres");
    let client = connect(&url).await;
    for statement in world::SCHEMA.split(';').filter(|statement| !statement.trim().is_empty()) {
        client.batch_execute(statement).await.unwrap();
    }
    let workload = Workload::new(&url, setting("SEED", 1));
    let mut sessions = tokio::task::JoinSet::new();
    for session in 1..=4 {
        sessions.spawn(Arc::clone(&workload).session(session, 3000));
    }
    workload.gate.send_replace(1500);
    while workload.changes.load(std::sync::atomic::Ordering::Relaxed) < 1500 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    workload.gate.send_replace(u64::MAX);
    let crashed = Arc::clone(&cluster);
    tokio::task::spawn_blocking(move || crashed.down("immediate").and_then(|()| crashed.up()))
        .await
        .unwrap()
        .unwrap();
    let mut told: Vec<_> = sessions.join_all().await.into_iter().flatten().collect();
    told.push(workload.bulk(0, 100).await);
    let client = connect(&url).await;
    let history = in_commit_order(&client, told).await;
    let (events, state) = oracle::foretell(&history);
    state.assert_equals_server(&client).await;
    assert!(events.len() > 1000, "only {} events", events.len());
}
