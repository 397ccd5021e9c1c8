update gap set to_lsn = ?2
where epoch = ?1 - 1 and exists (select 1 from stream where epoch = ?1 and creating)
