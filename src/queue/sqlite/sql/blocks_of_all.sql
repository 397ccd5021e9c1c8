select id from block where id <= ?1 and ?3 is null order by id desc limit ?2
