delete from key_line where number in (
    select number from key_line where gone_at_us < ?1 order by gone_at_us limit ?2
)
