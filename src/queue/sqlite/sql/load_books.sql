select id, name, enabled, suspended, orphaned, deleted, overflowing, backlog_bytes_max, next_sequence, pending,
    pending_bytes, dead, dead_bytes, delivered, dropped, failures, failing_since_us, last_error
from webhook order by id
