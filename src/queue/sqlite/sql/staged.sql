select ordinal, relation, change from staged_change where entry = ?1 order by ordinal
