insert into gap (epoch, from_lsn, to_lsn, reason, accepted_at_us) values (?1, ?2, ?3, ?4, ?5)
