delete from event where id in (select id from event where id > ?1 order by id desc limit ?2)
