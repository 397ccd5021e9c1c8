//! The proof that nothing is lost: what was done to the database, what must come of it, and the laws that any run
//! is judged by, whoever made it.
//!
//! ```text
//! workload ──SQL──► PostgreSQL ──► walhook ──► receiver
//!    │ told            │ witness                  │ arrivals
//!    └──► history ◄────┘                          ▼
//!            └──► oracle ──► what must come ──► laws ──► violations
//! ```
//!
//! [`laws`] is the checker. [`world`] says what the tables and webhooks are, [`history`] what was committed, in
//! which order; [`oracle`] foretells from that alone. [`stage`], [`process`], [`workload`] and [`trial`] make
//! runs of the real program; the simulation makes its own and asks the same judge.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod faults;
pub mod gap;
pub mod history;
pub mod laws;
pub mod oracle;
#[path = "../it/port.rs"]
pub mod port;
pub mod process;
pub mod random;
pub mod registered;
pub mod stage;
pub mod stored;
pub mod trial;
pub mod workload;
pub mod world;
