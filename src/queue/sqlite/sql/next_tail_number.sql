select coalesce(max(tail_number) + 1, 0) from event
where epoch = ?1 and commit_lsn = ?2 and ordinal = ?3 and verb = ?4 and lane = ?5
