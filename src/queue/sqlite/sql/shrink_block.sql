update block set deliveries = ?2, ended = ?3 where id = ?1
