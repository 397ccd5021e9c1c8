//! Tests against real parts: PostgreSQL servers, HTTP receivers, files.

mod catalog;
mod cluster;
mod values;
