select sequence, gate, behind from delivery indexed by delivery_waiting
where state = 2 and webhook = ?1 and lane = ?2 order by sequence limit 1
