select sequence, state, due_at_us, attempts from delivery where webhook = ?1 and sequence between ?2 and ?3
