//! The end-to-end proof: the real program, a real PostgreSQL, a real receiver, and everything killed in between.

#![allow(missing_docs, unreachable_pub, clippy::disallowed_methods)]

mod history;
mod laws;
mod oracle;
mod random;
mod workload;
mod world;
