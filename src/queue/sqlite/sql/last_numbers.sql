select (select coalesce(max(id), 0) from block), (select coalesce(max(id), 0) from quarantine),
    (select coalesce(max(id), 0) from held_event)
