delete from key_line where (?1 is null or form = ?1) and entry_id = ?2
