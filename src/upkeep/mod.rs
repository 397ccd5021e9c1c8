//! Retention and limits.
