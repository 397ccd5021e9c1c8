select block, state, due_at_us, attempts, replay from delivery where webhook = ?1 and sequence = ?2
