select webhook, sequence, state, due_at_us, attempts from delivery where block = ?1
