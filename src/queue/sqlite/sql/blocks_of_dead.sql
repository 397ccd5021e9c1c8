select distinct block from delivery indexed by delivery_dead
where state in (5, 6) and (?3 is null or webhook = ?3) and block <= ?1 order by block desc limit ?2
