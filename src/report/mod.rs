//! Listeners: log, metrics, health.
