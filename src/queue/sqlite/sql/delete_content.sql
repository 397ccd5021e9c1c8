delete from content where block = ?1
