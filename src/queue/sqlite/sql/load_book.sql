select id, name, enabled, suspended, orphaned, deleted, overflowing, backlog_bytes_max, next_sequence, pending,
    pending_bytes, dead, dead_bytes, delivered, dropped, failures, failing_since_us, last_error, next_held, held,
    held_beyond, held_bytes, held_dropped, held_dropped_to, condition_failures, last_condition_failure, broken, oldest
from webhook where id = ?1
