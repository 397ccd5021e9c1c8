//! The disk on trial, with SQLite and walhook's queue on it.

mod early;
mod faults;
#[allow(dead_code, reason = "shared with the tests of the queue, and not everything is used by both")]
#[path = "../../it/queue/make.rs"]
mod make;
mod queue;
mod sqlite;
mod trouble;
