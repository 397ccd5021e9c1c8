//! The loop from the log to the queue.
