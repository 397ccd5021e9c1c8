delete from arrived where block = ?1
