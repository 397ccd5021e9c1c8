//! Tests against real parts: PostgreSQL servers, HTTP receivers, files.

mod cluster;
mod doctor;
mod report;
