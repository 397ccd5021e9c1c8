//! walhook tells the outside world what happened in a PostgreSQL database, and never forgets to.
//!
//! ```text
//!  application ──► PostgreSQL ──WAL──► capture ──► [ durable queue ] ──► dispatch ──► webhook endpoints
//!  (unchanged)                         map, match,    (embedded SQLite)   in order per entry,
//!                                      render                             retry, dead letters, log
//! ```
//!
//! [`capture`] reads the write-ahead log, [`dispatch`] sends requests. They share the [`queue`] and nothing
//! else, so either can crash, wait or restart without the other noticing. One rule holds it together:
//!
//! > **Confirm to PostgreSQL only what the queue durably holds.**
//!
//! It is a type: a [`lsn::Durable`] is made by a queue after its fsync, and a [`source::Source`] confirms
//! nothing else.
//!
//! # The house
//!
//! A file is a word, a folder is a machine. Arrows point down only; `tests/layers.rs` refuses one that points
//! up.
//!
//! | layer | what | where |
//! |---|---|---|
//! | app | command line, configuration, wiring, supervision | [`app`] |
//! | tasks | one loop each; no SQL, no wire formats | [`capture`], [`dispatch`], [`upkeep`], [`admin`], [`doctor`], [`init`], [`demo`] |
//! | edges | one outside thing each; no edge knows another | [`source`], [`catalog`], [`registry`], [`queue`], [`format`](mod@format), [`auth`], [`transport`], [`report`] |
//! | ground | what several edges stand on | [`postgres`], [`tls`], [`sealing`], [`reference`](mod@reference), [`jws`], [`clock`], [`failpoint`] |
//! | words | pure: no I/O, clock, async or randomness | [`lsn`], [`change`], [`value`], [`form`], [`event`], [`keymap`], [`happening`], [`rule`], [`belonging`], [`attachment`], [`qualification`], [`webhook`], [`registration`], [`delivery`], [`header`], [`policy`], [`proxy`], [`retry`], [`remedy`], [`nearby`], [`observe`], [`secret`], [`userinfo`] |

#![forbid(unsafe_code)]

pub mod app;

pub mod admin;
pub mod capture;
pub mod demo;
pub mod dispatch;
pub mod doctor;
pub mod init;
pub mod upkeep;

pub mod auth;
pub mod catalog;
pub mod format;
pub mod queue;
pub mod registry;
pub mod report;
pub mod rule;
pub mod source;
pub mod transport;

pub mod clock;
pub mod failpoint;
pub mod jws;
pub mod postgres;
pub mod reference;
pub mod sealing;
pub mod tls;

pub mod attachment;
pub mod belonging;
pub mod change;
pub mod delivery;
pub mod event;
pub mod form;
pub mod happening;
pub mod header;
pub mod keymap;
pub mod lsn;
pub mod nearby;
pub mod observe;
pub mod policy;
pub mod proxy;
pub mod qualification;
pub mod registration;
pub mod remedy;
pub mod retry;
pub mod secret;
pub mod userinfo;
pub mod value;
pub mod webhook;
