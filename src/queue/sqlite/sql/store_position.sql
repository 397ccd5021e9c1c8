update position
set commit_lsn = ?1, end_lsn = ?2, published_block = ?3, published_quarantine = ?4, published_held = ?5,
    last_xid = coalesce(?6, case when commit_lsn = ?1 then last_xid end),
    last_committed_at_us = coalesce(?7, case when commit_lsn = ?1 then last_committed_at_us end)
