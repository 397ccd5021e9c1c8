select tail from event where id = ?1
