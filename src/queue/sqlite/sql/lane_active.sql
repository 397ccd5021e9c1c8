-- The delivery that holds a lane: ready, retrying or a blocking dead letter.
select sequence, state from delivery indexed by delivery_active
where state in (1, 2, 3) and webhook = ?1 and lane = ?2
