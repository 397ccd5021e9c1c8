update delivery set state = 1, gate = null where webhook = ?1 and sequence = ?2 and state = 0
