select next_sequence - 1 from webhook where id = ?1
