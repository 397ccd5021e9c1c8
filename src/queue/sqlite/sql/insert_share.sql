insert into share (webhook, first, last, block) values (?1, ?2, ?3, ?4)
