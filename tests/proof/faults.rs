//! What was done to walhook while it ran, and the one rule, looked at in between.

use super::laws::{Attempt, Look};
use super::stage::Stage;
use super::stored::{stored_by_the_dead, stored_by_the_frozen};
use std::path::Path;

/// When walhook was killed, in microseconds since the run began.
#[derive(Default)]
pub struct Faults {
    kills: Vec<u64>,
}

impl Faults {
    /// Takes note of a kill once the receiver has read all that the dead process had sent.
    pub async fn killed(&mut self, stage: &Stage) {
        stage.receiver.wait_until_alone().await;
        self.kills.push(stage.began.elapsed().as_micros() as u64);
    }

    /// How often walhook was killed or died.
    pub fn deaths(&self) -> usize {
        self.kills.len()
    }

    /// No attempt outlives its process.
    pub fn clamp(&self, mut attempts: Vec<Attempt>) -> Vec<Attempt> {
        for attempt in &mut attempts {
            let kill = self.kills.iter().find(|&&kill| kill >= attempt.start);
            attempt.end = attempt.end.min(kill.copied().unwrap_or(u64::MAX));
        }
        attempts
    }
}

/// The one rule: nothing is confirmed to PostgreSQL that the queue does not hold. Looked at while walhook stands
/// still or is dead, so that nothing moves between the two looks.
#[derive(Default)]
pub struct OneRule {
    pub looks: Vec<Look>,
}

impl OneRule {
    async fn look(&mut self, stage: &Stage, stored: fn(&Path) -> Option<u64>) {
        let confirmed = stage.confirmed_lsn().await;
        let Some(stored) = stored(&stage.folder.join("walhook.db")) else { return };
        self.looks.push(Look { confirmed, stored });
    }

    /// Looks beside a walhook that is dead.
    pub async fn look_at_the_dead(&mut self, stage: &Stage) {
        self.look(stage, stored_by_the_dead).await;
    }

    /// Stops walhook for the look.
    pub async fn look_at_the_frozen(&mut self, stage: &Stage) {
        stage.walhook.freeze();
        self.look(stage, stored_by_the_frozen).await;
        stage.walhook.thaw();
    }
}
