//! Tests against real parts: PostgreSQL servers, HTTP receivers, files.

mod catalog;
mod cli;
mod cluster;
mod config;
mod demo;
mod dispatch;
mod doctor;
mod operations;
mod patterns;
mod postgres;
mod queue;
mod receiver;
mod report;
mod running;
mod source;
mod values;
