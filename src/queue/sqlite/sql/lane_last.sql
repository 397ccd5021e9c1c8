-- The last unfinished delivery of a lane, by the index on lane and state.
select max(last) from (
    select max(sequence) as last from delivery where state <= 3 and webhook = ?1 and lane = ?2 and state = 0
    union all
    select max(sequence) from delivery where state <= 3 and webhook = ?1 and lane = ?2 and state = 1
    union all
    select max(sequence) from delivery where state <= 3 and webhook = ?1 and lane = ?2 and state = 2
    union all
    select max(sequence) from delivery where state <= 3 and webhook = ?1 and lane = ?2 and state = 3
)
