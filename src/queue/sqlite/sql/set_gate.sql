update delivery set gate = ?3 where webhook = ?1 and sequence = ?2
