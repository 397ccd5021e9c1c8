select h.webhook, h.number from held_event e join held h on h.event = e.id
where e.entry_id = ?1 and (?2 is null or e.form = ?2) and e.id <= (select published_held from position)
