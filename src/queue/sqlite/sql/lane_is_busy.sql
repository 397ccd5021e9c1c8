select exists (select 1 from delivery where webhook = ?1 and lane = ?2 and state <= 3)
