delete from held_event where id = ?1 and holders <= 0
