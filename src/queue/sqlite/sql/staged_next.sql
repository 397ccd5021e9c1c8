select first, id, form, key from staged_entry where (first, id) > (?1, ?2) order by first, id limit 1
