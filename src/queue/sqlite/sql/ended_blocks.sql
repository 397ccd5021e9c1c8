select id, since_us from block indexed by block_ended
where ended > 0 and since_us < ?1 and (since_us, id) > (?3, ?4) order by since_us, id limit ?2
