select events, bodies from content where block = ?1
