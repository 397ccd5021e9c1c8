select sequence, state, due_at_us, attempts, replay from delivery where webhook = ?1 and sequence between ?2 and ?3
