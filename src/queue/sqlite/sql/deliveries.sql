-- Followed by the conditions of a filter, the order and the limit.
select d.webhook, d.sequence, d.id, d.state, d.lane, d.attempts, d.due_at_us, d.bytes, e.form, e.verb,
    e.entry_id, e.epoch, e.commit_lsn, e.ordinal, e.committed_at_us
from delivery d join event e on e.id = d.event
where d.webhook = ?1 and d.sequence between ?2 and ?3
    and (?4 is null or e.form = ?4) and (?5 is null or e.entry_id = ?5)
    and (?6 is null or e.committed_at_us >= ?6) and (?7 is null or e.committed_at_us < ?7)
