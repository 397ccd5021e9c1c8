update key_line set gone_at_us = ?2 where relation = ?1 and gone_at_us is null
