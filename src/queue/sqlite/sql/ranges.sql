select first, last, state, from_epoch, from_commit_lsn, from_ordinal, to_epoch, to_commit_lsn, to_ordinal, webhook
from range where ?1 is null or webhook = ?1 order by webhook, first
