insert or replace into registration (webhook, row, in_force) values (?1, ?2, ?3)
