select sequence from delivery
where state = 1 and webhook = ?1 and sequence between ?2 and ?3 order by sequence limit ?4
