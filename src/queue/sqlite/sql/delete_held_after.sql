delete from held where (webhook, number) in (select webhook, number from held where event > ?1 limit ?2)
