insert into staged_change (entry, ordinal, relation, change) values (?1, ?2, ?3, ?4)
