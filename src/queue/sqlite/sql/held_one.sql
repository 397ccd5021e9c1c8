-- A held event with what its end changes; nothing of the event for a range.
select h.event, h.bytes, e.holders, length(e.content) from held h left join held_event e on e.id = h.event
where h.webhook = ?1 and h.number = ?2
