-- The delivery that holds a lane: ready, retrying or a blocking dead letter.
select sequence, state from delivery
where state <= 3 and webhook = ?1 and lane = ?2 and state >= 1 limit 1
