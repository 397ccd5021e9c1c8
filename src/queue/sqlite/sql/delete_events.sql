delete from event where id between ?1 and ?2
