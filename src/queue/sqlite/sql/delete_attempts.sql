delete from attempt where webhook = ?1 and sequence between ?2 and ?3
