select number, event, count, bytes from held where webhook = ?1 and number <= ?2 order by number limit ?3
