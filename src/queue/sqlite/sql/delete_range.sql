delete from range where webhook = ?1 and first = ?2
