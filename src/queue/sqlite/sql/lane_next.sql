select sequence, gate from delivery
where state <= 3 and webhook = ?1 and lane = ?2 and state = 0 order by sequence limit 1
