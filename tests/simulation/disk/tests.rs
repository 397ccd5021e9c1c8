//! The disk on trial, with SQLite and walhook's queue on it.

mod queue;
mod sqlite;
