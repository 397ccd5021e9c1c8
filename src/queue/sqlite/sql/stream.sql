select system_id, timeline, database, slot, epoch, creating, commit_lsn, end_lsn from stream, position
