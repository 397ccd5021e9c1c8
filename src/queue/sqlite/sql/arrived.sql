select list from arrived where block = ?1 order by part
