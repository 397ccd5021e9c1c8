update delivery set state = 6, due_at_us = null, ended_at_us = ?3, gate = null
where webhook = ?1 and sequence = ?2 and state <= 4
