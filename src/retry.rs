//! What an attempt's outcome means for its delivery.

use std::time::Duration;

/// The pauses between a delivery's attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The pause after the first failed attempt, after the second, and so on; after the last one the delivery
    /// is a dead letter.
    pub pauses: Vec<Duration>,
}
