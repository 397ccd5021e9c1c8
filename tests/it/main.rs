//! Tests against real parts: PostgreSQL servers, HTTP receivers, files.

mod cli;
mod cluster;
mod config;
mod dispatch;
mod doctor;
mod operations;
mod patterns;
mod receiver;
mod report;
mod running;
mod values;
