insert into held (webhook, number, cause, reason, count, bytes, from_epoch, from_commit_lsn, from_ordinal, to_epoch,
    to_commit_lsn, to_ordinal)
values (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, ?11)
