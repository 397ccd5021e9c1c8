select failures, attempts, replay from delivery where webhook = ?1 and sequence = ?2
