//! The loop from the queue to the endpoints.
