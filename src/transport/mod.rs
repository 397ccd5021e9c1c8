//! The HTTP client, the address guard, signatures.
