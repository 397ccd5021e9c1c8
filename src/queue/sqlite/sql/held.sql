select h.number, h.cause, h.reason, h.count, h.from_epoch, h.from_commit_lsn, h.from_ordinal, h.to_epoch,
    h.to_commit_lsn, h.to_ordinal, e.epoch, e.commit_lsn, e.ordinal, e.form, e.verb, e.entry_id, e.lane,
    e.committed_at_us, e.content
from held h left join held_event e on e.id = h.event
where h.webhook = ?1 and h.number > ?2 and h.number < (select next_held from webhook where id = ?1)
order by h.number
