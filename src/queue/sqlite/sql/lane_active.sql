-- The delivery that holds a lane: ready, retrying or a blocking dead letter.
select sequence, state from delivery indexed by delivery_active
where state in (3, 4, 5) and webhook = ?1 and lane = ?2
