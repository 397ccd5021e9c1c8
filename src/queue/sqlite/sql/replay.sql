update delivery set state = 0, replay = 1, failures = 0, due_at_us = null, ended_at_us = null
where webhook = ?1 and sequence = ?2 and state in (3, 4)
