select block from share where webhook = ?3 and block <= ?1 order by first desc limit ?2
