//! Tests against real parts: PostgreSQL servers, HTTP receivers, files.

// also in what the tests stand on, which clippy does not count among the tests
#![allow(clippy::unwrap_used)]

mod accounts;
mod api;
mod attachments;
mod bodies;
mod catalog;
mod certificates;
mod children;
mod choices;
mod cli;
mod cluster;
mod comeback;
mod condition;
mod config;
mod counts;
mod demo;
mod dispatch;
mod doctor;
mod endpoints;
mod formats;
mod fuzzed;
mod guarantees;
mod happenings;
mod hostile;
mod init;
mod mail;
mod matching;
mod operations;
mod packs;
mod patterns;
mod port;
mod postgres;
mod promotion;
mod proxies;
mod python;
mod qualification;
mod queue;
mod receiver;
mod registration;
mod report;
mod rules;
mod running;
mod sealing;
mod secrecy;
mod side;
mod source;
mod supplements;
mod tables;
mod tail;
mod terminal;
mod values;
mod version;
mod wild;
