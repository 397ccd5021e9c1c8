-- The oldest delivery that is due or retried: the oldest of its lane never waits, but behind a gate or a
-- blocking dead letter.
select min(committed_at_us) from event where id in (
    select event from delivery where webhook = ?1 and sequence in (
        select min(sequence) from delivery indexed by delivery_ready where state = 3 and webhook = ?1
        union all
        select min(sequence) from delivery indexed by delivery_due where state = 4 and webhook = ?1
    )
)
