select number, event is null, count, from_epoch, from_commit_lsn, from_ordinal, to_epoch, to_commit_lsn, to_ordinal
from held where webhook = ?1 order by number limit 1
