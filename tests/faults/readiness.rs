//! What `/readyz` says.

use crate::proof::stage::Stage;
use std::time::{Duration, Instant};

/// How long readiness may take to turn.
const TURN_MAX: Duration = Duration::from_secs(60);

/// The status of `/readyz` and its text; 0 where nobody answers.
pub async fn readiness(stage: &Stage) -> (u16, String) {
    let Ok(answer) = reqwest::get(format!("http://{}/readyz", stage.admin())).await else {
        return (0, String::new());
    };
    (answer.status().as_u16(), answer.text().await.unwrap_or_default())
}

/// Waits until `/readyz` answers so, with these words.
pub async fn wait_for_readiness(stage: &Stage, status: u16, words: &str) -> String {
    let began = Instant::now();
    loop {
        let (is, said) = readiness(stage).await;
        if is == status && said.contains(words) {
            return said;
        }
        assert!(
            began.elapsed() < TURN_MAX,
            "/readyz does not come to {status} {words:?}, it is {is}: {said}\n{}",
            stage.walhook.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
