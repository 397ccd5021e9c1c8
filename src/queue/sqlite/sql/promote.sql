update delivery set state = 3, gate = null where webhook = ?1 and sequence = ?2 and state = 2
