select sequence, lane from delivery where webhook = ?1 and sequence >= ?2 order by sequence limit ?3
