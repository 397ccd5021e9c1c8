delete from attempt where webhook = ?1 and sequence = ?2
