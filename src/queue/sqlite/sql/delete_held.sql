delete from held where webhook = ?1 and number = ?2
