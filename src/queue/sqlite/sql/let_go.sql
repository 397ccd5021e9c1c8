update held_event set holders = holders - 1 where id = ?1
