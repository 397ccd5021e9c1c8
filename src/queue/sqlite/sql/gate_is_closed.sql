select exists (select 1 from delivery where webhook = ?1 and sequence = ?2 and state <= 5)
