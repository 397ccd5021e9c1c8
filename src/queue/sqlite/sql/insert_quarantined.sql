insert into quarantine (id, epoch, commit_lsn, ordinal, form, reason, bytes) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
