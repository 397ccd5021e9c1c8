select events from content where block = ?1
