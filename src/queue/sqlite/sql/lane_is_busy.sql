select exists (
    select 1 from delivery indexed by delivery_active where state in (1, 2, 3) and webhook = ?1 and lane = ?2
) or exists (
    select 1 from delivery indexed by delivery_waiting where state = 0 and webhook = ?1 and lane = ?2
)
