insert into arrived (block, part, list) values (?1, ?2, ?3)
