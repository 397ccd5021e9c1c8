select webhook, sequence, state, due_at_us from delivery where block = ?1
