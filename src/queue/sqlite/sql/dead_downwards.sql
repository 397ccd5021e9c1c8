select block, sequence from delivery indexed by delivery_dead
where state in (5, 6) and webhook = ?1 and sequence between ?2 and ?3 order by sequence desc limit ?4
