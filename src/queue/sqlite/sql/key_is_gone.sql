update key_line set gone_at_us = ?4 where relation = ?1 and columns = ?2 and key_values = ?3 and gone_at_us is null
