create role {role} login replication
