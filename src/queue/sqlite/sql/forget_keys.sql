delete from key_line
