update delivery
set state = ?3, due_at_us = ?4, since_us = ?5, failures = ?6, attempts = ?7
where webhook = ?1 and sequence = ?2 and state in (3, 4)
