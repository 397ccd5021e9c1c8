select last_xid, last_committed_at_us from position where last_xid is not null
