delete from registration where webhook = ?1
