select due_at_us, sequence from delivery indexed by delivery_due
where state = 4 and webhook = ?1 and (due_at_us, sequence) > (?2, ?3) order by due_at_us, sequence limit ?4
