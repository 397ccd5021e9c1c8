delete from key_line where relation not in (select value from json_each(?1))
