insert into held_event (id, epoch, commit_lsn, ordinal, form, verb, entry_id, lane, committed_at_us, holders,
    content)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
