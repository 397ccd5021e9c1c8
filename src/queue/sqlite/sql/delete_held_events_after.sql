delete from held_event where id in (select id from held_event where id > ?1 order by id desc limit ?2)
