update delivery set due_at_us = ?1 + max(due_at_us - since_us, 0), since_us = ?1
where state = 4 and since_us > ?1
