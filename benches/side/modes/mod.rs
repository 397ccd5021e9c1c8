//! What can be measured, one file each.

pub mod backlog;
pub mod drain;
pub mod failing;
pub mod fan_out;
pub mod kill;
pub mod latency;
pub mod memory;
pub mod nothing_matches;
pub mod slow;
