//! Deterministic simulation: walhook's own capture, queue and dispatch on a PostgreSQL, a disk, a network and a
//! clock that are played, with crashes at any await and at any write. Everything follows from a seed.
//!
//! ```text
//! script ──► server ──► capture ──► queue on a disk that loses what was not synced ──► dispatch ──► endpoints
//!    └──────► oracle ─────────────────────────► laws ◄──────────────────────────────────────────────┘
//! ```
//!
//! `SEEDS=5000 cargo test --test simulation` plays more of them, `SEED=17` one, with its trace. A seed that breaks a
//! law is played again, and its trace is left under `target/tmp`.

#![allow(missing_docs, unreachable_pub, clippy::disallowed_methods, clippy::unwrap_used)]

mod desk;
mod disk;
mod endpoints;
mod forms;
mod life;
mod play;
#[path = "../proof/mod.rs"]
mod proof;
mod registrations;
mod script;
mod seeds;
mod server;
mod world;
