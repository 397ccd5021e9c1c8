insert or replace into webhook (id, name, enabled, suspended, orphaned, deleted, overflowing, backlog_bytes_max,
    next_sequence, pending, pending_bytes, dead, dead_bytes, delivered, dropped, failures, failing_since_us,
    last_error)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
