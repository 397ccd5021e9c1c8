update delivery set attempts = max(attempts, ?3) where webhook = ?1 and sequence = ?2
