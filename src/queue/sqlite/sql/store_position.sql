update position
set commit_lsn = ?1, end_lsn = ?2, published_event = ?3, published_quarantine = ?4, published_held = ?5
