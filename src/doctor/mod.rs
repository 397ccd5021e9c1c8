//! What a database needs for walhook: found, printed, applied, removed.
