select d.webhook, d.sequence, d.state, d.event, e.deliveries, e.epoch, e.commit_lsn, e.ordinal
from delivery d indexed by delivery_ended join event e on e.id = d.event
where d.state >= 7 and d.since_us < ?1 order by d.since_us limit ?2
