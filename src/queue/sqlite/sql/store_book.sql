insert or replace into webhook (id, name, enabled, suspended, orphaned, deleted, overflowing, backlog_bytes_max,
    next_sequence, pending, pending_bytes, dead, dead_bytes, delivered, dropped, failures, failing_since_us,
    last_error, next_held, held, held_beyond, held_bytes, held_dropped, held_dropped_to, condition_failures,
    last_condition_failure, broken, oldest)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
    ?24, ?25, ?26, ?27, ?28)
