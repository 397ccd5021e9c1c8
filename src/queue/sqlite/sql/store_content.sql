insert or replace into content (block, events, bodies) values (?1, ?2, ?3)
