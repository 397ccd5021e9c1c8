select lane from delivery indexed by delivery_gate where gate is not null and webhook = ?1 and gate = ?2
