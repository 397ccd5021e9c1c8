select commit_lsn, end_lsn, published_event, published_quarantine, published_held from position
