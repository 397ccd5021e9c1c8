update delivery set state = 8, due_at_us = null, since_us = ?3, gate = null
where webhook = ?1 and sequence = ?2 and state <= 6
