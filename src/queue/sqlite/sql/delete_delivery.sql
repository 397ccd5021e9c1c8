delete from delivery where webhook = ?1 and sequence = ?2
