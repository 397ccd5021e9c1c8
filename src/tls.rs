//! TLS for PostgreSQL and HTTP: one provider, the modes of libpq.
