select block, first from share
where webhook = ?1 and first <= ?3 and last >= ?2
    and first >= coalesce((select max(first) from share where webhook = ?1 and first <= ?2), 0)
order by first desc limit ?4
