//! walhook dies, by whatever.

use crate::proof::trial::Trial;

/// The pattern of every fault: changes before it, while it lasts and after it, then all laws.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_between_two_changes() {
    let mut trial = Trial::begin("fault-kill-9").await;
    trial.work(200).await;
    trial.hear(50).await;
    trial.let_work(100);
    trial.kill().await;
    trial.work(200).await;
    trial.stage.walhook.start();
    trial.hear(50).await;
    trial.judge().await;
}
