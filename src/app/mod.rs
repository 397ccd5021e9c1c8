//! The command line, the configuration and the wiring.
mod supervise;
