select number, started_at_us, duration_us, kind, status, retry_after_s, text from attempt
where webhook = ?1 and sequence = ?2 order by number desc limit 1
