update block set deliveries = ?2, ended = 0 where id = ?1
