insert or replace into attempt (webhook, sequence, number, started_at_us, duration_us, kind, status,
    retry_after_s, text)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
