//! Faults: what fails around the real program on a real server, one test for each, judged by every law.
//!
//! `cargo test --test faults` plays the short forms; `make faults` the long ones. A test that fails leaves its
//! files under `target/tmp/NAME`.

#![allow(missing_docs, unreachable_pub, clippy::disallowed_methods, clippy::unwrap_used)]

mod attacks;
mod clock;
mod death;
mod descriptors;
mod disk;
mod failpoints;
mod former;
mod hostile;
mod lanes;
mod network;
#[path = "../proof/mod.rs"]
mod proof;
mod readiness;
mod roles;
mod server;
mod server_restart;
mod syscalls;
mod torn;
