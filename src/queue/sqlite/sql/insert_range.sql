insert or replace into range (webhook, first, last, state, from_epoch, from_commit_lsn, from_ordinal, to_epoch,
    to_commit_lsn, to_ordinal)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
