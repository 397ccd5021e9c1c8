select (select min(sequence) from delivery where webhook = ?1), (select next_sequence - 1 from webhook where id = ?1)
