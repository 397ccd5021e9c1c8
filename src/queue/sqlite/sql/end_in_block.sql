update block set ended = ended + ?2, since_us = max(since_us, ?3) where id = ?1 returning ended
