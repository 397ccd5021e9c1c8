//! The command line, the configuration and the wiring.

pub mod config;
mod supervise;
