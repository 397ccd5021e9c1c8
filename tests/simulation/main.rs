//! Deterministic simulation: the same seed plays the same run.

#![allow(missing_docs, unreachable_pub, clippy::disallowed_methods, clippy::unwrap_used)]

mod disk;
#[allow(dead_code, reason = "shared with the soak, and not everything is used by both")]
#[path = "../soak/random.rs"]
mod random;
