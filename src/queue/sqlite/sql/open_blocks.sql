select id from block where id > ?1 and id <= ?2 and ended < deliveries order by id
