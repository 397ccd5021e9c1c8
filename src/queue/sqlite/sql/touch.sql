insert into touched (webhook, sequence) values (?1, ?2)
