update held set count = count + ?3, to_epoch = ?4, to_commit_lsn = ?5, to_ordinal = ?6
where webhook = ?1 and number = ?2
