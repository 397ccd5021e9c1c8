select block, state, due_at_us from delivery where webhook = ?1 and sequence = ?2
