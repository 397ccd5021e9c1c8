select epoch, commit_lsn, ordinal, form, reason, bytes from quarantine
where id <= (select published_quarantine from position) order by id
