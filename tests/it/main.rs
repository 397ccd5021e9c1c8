//! Tests against real parts: PostgreSQL servers, HTTP receivers, files.

mod cli;
mod cluster;
mod config;
