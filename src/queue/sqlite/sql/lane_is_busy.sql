select exists (
    select 1 from delivery indexed by delivery_active where state in (3, 4, 5) and webhook = ?1 and lane = ?2
) or exists (
    select 1 from delivery indexed by delivery_waiting where state = 2 and webhook = ?1 and lane = ?2
)
