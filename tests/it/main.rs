//! Tests against real parts: PostgreSQL servers, HTTP receivers, files.

mod cluster;
mod config;
mod operations;
mod patterns;
mod running;
