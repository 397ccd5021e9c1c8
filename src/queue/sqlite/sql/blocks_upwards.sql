select id from block where id > ?1 and id <= (select published_block from position) order by id limit ?2
