alter publication {publication} set (publish = '{actions}', publish_via_partition_root = true)
