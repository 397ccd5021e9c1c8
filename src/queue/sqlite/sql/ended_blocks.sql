select id from block indexed by block_ended where ended > 0 and since_us < ?1 order by since_us limit ?2
