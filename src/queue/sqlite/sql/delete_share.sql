delete from share where webhook = ?1 and first = ?2
