delete from block where id = ?1
