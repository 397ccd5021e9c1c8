select number, event is null from held where webhook = ?1 and number < ?2 order by number desc limit 1
