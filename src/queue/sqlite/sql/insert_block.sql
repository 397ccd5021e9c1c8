insert into block (id, deliveries, ended, since_us) values (?1, ?2, 0, ?3)
