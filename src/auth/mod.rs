//! Credentials of endpoints, one file per scheme.
