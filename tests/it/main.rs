//! Tests against real parts: PostgreSQL servers, HTTP receivers, files.

mod cli;
mod cluster;
mod doctor;
mod report;
