//! A complete show on a throwaway PostgreSQL.

pub mod cluster;
pub mod receiver;
