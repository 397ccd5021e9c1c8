select id from block where id > ?1 order by id desc limit ?2
