update delivery set gate = null where webhook = ?1 and gate = ?2
