//! The queue's contract, as a suite that every backend runs, and what is particular to SQLite.
//!
//! A new backend calls `conformance` with a factory of its own.

// the suite and what it stands on are tests, though clippy sees only those with the attribute
#![allow(clippy::unwrap_used)]

#[path = "queue/blocks.rs"]
mod blocks;
#[path = "queue/conformance.rs"]
mod conformance;
#[path = "queue/crash.rs"]
mod crash;
#[path = "queue/holding.rs"]
mod holding;
#[path = "queue/keymap.rs"]
mod keymap;
#[path = "queue/make.rs"]
pub(crate) mod make;
mod noted;
mod privacy;
#[path = "queue/sqlite.rs"]
mod sqlite;
