update position
set commit_lsn = ?1, end_lsn = ?2,
    last_xid = case when commit_lsn = ?1 then last_xid end,
    last_committed_at_us = case when commit_lsn = ?1 then last_committed_at_us end
