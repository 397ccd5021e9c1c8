//! PostgreSQL loses, changes or gives back otherwise what walhook needs of it: the slot, the history, the
//! publication, the tables.

mod history;
mod large;
mod publication;
mod slot;
mod tables;
mod things;

use crate::proof::gap::Gap;
use crate::proof::stage::setting;
use crate::proof::stored::stored_gaps;
use crate::proof::trial::Trial;
use std::time::{Duration, Instant};

/// How long something may take on two processors that play all sides; the long forms need more.
fn patience() -> Duration {
    Duration::from_secs(setting("PATIENCE_S", 60))
}

/// SIGTERM: everything that was read is in the queue and confirmed.
fn stop(trial: &mut Trial) {
    assert_eq!(trial.stage.walhook.terminate(), Some(0), "SIGTERM ends it well");
}

pub async fn sql(trial: &Trial, statements: &str) {
    trial.stage.client.batch_execute(statements).await.unwrap();
}

pub async fn number(trial: &Trial, query: &str) -> i64 {
    trial.stage.client.query_one(query, &[]).await.unwrap().get(0)
}

/// Starts walhook, and sees it refuse to go on with these words.
async fn start_refused(trial: &mut Trial, words: &str) {
    let from = trial.stage.walhook.log().len();
    trial.stage.walhook.start();
    trial.wait_for_log(from, words).await;
    assert!(!trial.stage.walhook.log()[from..].contains("the stream runs"), "it ran before");
}

/// `walhook resume --accept-gap`, and what it says.
fn resume(trial: &Trial) -> Result<String, String> {
    let output = trial.stage.walhook.run(&["resume", "--accept-gap"]);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// Accepts a gap beside a walhook that does not go on for it, and starts that anew. Gives what was said.
async fn accept(trial: &mut Trial) -> String {
    stop(trial);
    let said = resume(trial).expect("there is a gap");
    println!("{said}");
    start_running(trial).await;
    said
}

/// Starts walhook, and waits until the stream runs.
pub async fn start_running(trial: &mut Trial) {
    let from = trial.stage.walhook.log().len();
    trial.stage.walhook.start();
    trial.wait_for_log(from, "the stream runs").await;
}

pub fn gaps(trial: &Trial) -> Vec<Gap> {
    stored_gaps(&trial.stage.folder.join("walhook.db"))
}

/// Waits until somebody's session reads the slot, or nobody does.
async fn wait_until_read(trial: &Trial, is_read: bool) {
    let query = format!(
        "select count(*) from pg_replication_slots where slot_name = 'walhook' and active = {is_read}"
    );
    wait_until(trial, &query).await;
}

/// Waits until a count is not 0.
async fn wait_until(trial: &Trial, query: &str) {
    let began = Instant::now();
    while number(trial, query).await == 0 {
        assert!(began.elapsed() < patience(), "never: {query}\n{}", trial.stage.walhook.log_tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets the sessions finish what they are at.
pub async fn rest(trial: &Trial) {
    let none = "select (count(*) = 0)::int::bigint from pg_stat_activity
         where backend_type = 'client backend' and state <> 'idle' and pid <> pg_backend_pid()";
    wait_until(trial, none).await;
}

/// Where the log ends, as a number.
pub async fn wal_end(trial: &Trial) -> i64 {
    number(trial, "select (pg_current_wal_lsn() - '0/0')::bigint").await
}

/// Waits until walhook, or whoever reads its slot, has confirmed so much.
pub async fn wait_until_confirmed(trial: &Trial, lsn: i64) {
    let query = format!(
        "select count(*) from pg_replication_slots
         where slot_name = 'walhook' and confirmed_flush_lsn - '0/0' >= {lsn}"
    );
    wait_until(trial, &query).await;
}
