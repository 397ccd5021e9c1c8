update delivery set state = 3, replay = 1, failures = 0, due_at_us = null, since_us = ?3
where webhook = ?1 and sequence = ?2 and state in (5, 6)
