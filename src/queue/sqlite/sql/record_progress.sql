update position set commit_lsn = ?1, end_lsn = ?2
