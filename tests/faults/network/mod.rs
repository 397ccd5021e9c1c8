//! The network between walhook and PostgreSQL fails, in every way there is.

mod broken;
mod idle;
mod opening;
pub mod proxy;
mod sweep;
mod tls;
mod weather;

use crate::proof::stage::Stage;
use crate::proof::trial::{Trial, content};
use crate::proof::world::HOOKS;
use proxy::Proxy;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long something may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(60);

/// Everything prepared with a proxy before the server; walhook has not been started.
pub async fn prepare(name: &str) -> (Stage, Proxy) {
    let stage = Stage::prepare(name, &HOOKS, content()).await;
    let proxy = Proxy::before(stage.cluster.port()).await;
    stage.walhook.configure(&stage.configuration(&proxy.url("postgres")));
    (stage, proxy)
}

/// A trial whose walhook reaches the server through a proxy; the sessions go straight to the server.
pub async fn begin(name: &str) -> (Trial, Proxy) {
    let (mut stage, proxy) = prepare(name).await;
    stage.start().await;
    (Trial::on(stage, 1), proxy)
}

/// What walhook's port for health and metrics answers.
pub async fn ask(stage: &Stage, path: &str) -> String {
    let asking = async {
        let mut stream = TcpStream::connect(stage.admin()).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: text/plain\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    asking.await.unwrap_or_else(|error| error.to_string())
}

/// Waits until `/readyz` says something: `200 OK`, `not ready`, or a reason.
pub async fn wait_for_readyz(stage: &Stage, words: &str) {
    let began = Instant::now();
    loop {
        let answer = ask(stage, "/readyz").await;
        if answer.contains(words) {
            return;
        }
        assert!(began.elapsed() < SEEN_MAX, "/readyz does not say {words:?}: {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a query on the server gives `true`.
pub async fn wait_for_server(stage: &Stage, query: &str) {
    let began = Instant::now();
    while !stage.client.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(began.elapsed() < SEEN_MAX, "still not: {query}\n{}", stage.walhook.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The server's process that streams to walhook.
pub async fn walsender(stage: &Stage) -> Option<i32> {
    let query = "select active_pid from pg_replication_slots where slot_name = 'walhook'";
    stage.client.query_opt(query, &[]).await.unwrap()?.get(0)
}
