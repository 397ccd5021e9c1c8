select published_block from position
