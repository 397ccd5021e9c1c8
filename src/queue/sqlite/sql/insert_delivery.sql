insert into delivery (webhook, sequence, state, lane, event, gate, bytes, id, head, since_us, behind)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
