select block, state, due_at_us, attempts from delivery where webhook = ?1 and sequence = ?2
