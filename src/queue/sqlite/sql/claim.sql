select d.id, d.lane, d.event, d.failures, d.attempts, d.replay, d.bytes, d.head, e.form, e.verb, e.entry_id,
    e.committed_at_us, e.content_type
from delivery d join event e on e.id = d.event
where d.webhook = ?1 and d.sequence = ?2 and (d.state = 3 or d.state = 4 and d.due_at_us <= ?3)
