select exists (select 1 from delivery indexed by delivery_gate where gate is not null)
