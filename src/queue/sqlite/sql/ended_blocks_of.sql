select b.id, b.since_us, s.first from share s cross join block b on b.id = s.block
where s.webhook = ?3 and s.first > ?4 and b.ended > 0 and b.since_us < ?1 order by s.first limit ?2
