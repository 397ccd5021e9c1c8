-- The last delivery of a lane before one of another, of those that are not finished.
select max(last) from (
    select max(sequence) as last from delivery indexed by delivery_active
    where state in (3, 4, 5) and webhook = ?1 and lane = ?2 and sequence < ?3
    union all
    select max(sequence) from delivery indexed by delivery_waiting
    where state = 2 and webhook = ?1 and lane = ?2 and sequence < ?3
)
