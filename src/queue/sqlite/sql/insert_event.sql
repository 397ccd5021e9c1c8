insert into event (id, epoch, commit_lsn, ordinal, form, verb, entry_id, lane, tail_number, xid, committed_at_us,
    content_type, deliveries, tail)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
