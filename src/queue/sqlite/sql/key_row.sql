select row, form, entry_id from key_line where relation = ?1 and columns = ?2 and key_values = ?3
