select block, first from share where webhook = ?1 and first <= ?3 and last >= ?2 order by first desc limit ?4
