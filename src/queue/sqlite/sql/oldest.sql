-- The oldest delivery that waits, is due or is under way: the oldest of its lane is never one that waits, but
-- behind a gate or a blocking dead letter.
select min(e.committed_at_us) from event e where e.id in (
    select event from delivery d where d.webhook = ?1 and d.sequence in (
        select min(sequence) from delivery where state = 1 and webhook = ?1
        union all
        select min(sequence) from delivery where state = 2 and webhook = ?1
    )
)
