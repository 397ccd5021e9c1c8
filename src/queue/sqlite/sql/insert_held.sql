insert into held (webhook, number, event, lane, cause, reason, count, bytes)
values (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)
