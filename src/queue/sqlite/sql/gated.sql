select lane, sequence from delivery where webhook = ?1 and gate = ?2
