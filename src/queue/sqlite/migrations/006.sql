-- Version 6: a failing delivery is written without two indexes. That of the retrying ones was of use only where a clock
-- was set back, and once in a start: they read the deliveries that have rows of their own through. That of a block's
-- deliveries was of use only where a block is read: it has their numbers.

drop index delivery_retrying;
drop index delivery_of_block;
