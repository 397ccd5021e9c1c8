select sequence from delivery indexed by delivery_ready
where state = 3 and webhook = ?1 and sequence between ?2 and ?3 order by sequence limit ?4
