alter role {role} login replication
