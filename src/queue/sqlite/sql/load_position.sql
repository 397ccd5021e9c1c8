select commit_lsn, end_lsn, published_block, published_quarantine, published_held from position
