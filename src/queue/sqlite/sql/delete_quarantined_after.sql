delete from quarantine where id > ?1
