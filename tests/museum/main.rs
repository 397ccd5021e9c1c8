//! The loss museum: how others lost changes, each as a test that walhook must pass.
//!
//! An exhibit is a file. It begins with its story: what broke, in which tool, for whom, and why walhook cannot have
//! it; the test rebuilds the circumstances that lost data there, with the real program on a real server and a real
//! receiver. The numbers are those of public issues and pull requests; where several tools had one bug, the
//! clearest report is named. Whoever finds a new way to lose changes hangs it here.
//!
//! | exhibit | what was lost elsewhere |
//! |---|---|
//! | `acknowledgement_ahead_of_durability` | what was received and not yet written, confirmed by a timer or a keepalive |
//! | `flush_past_an_open_transaction` | a transaction that commits late |
//! | `key_update_as_last_change` | the second of two events of one row change |
//! | `not_a_number` | the batch around a NaN |
//! | `progress_bound_to_a_wrong_slot` | what lies between two slots |
//! | `several_rows_at_one_lsn` | the rest of a `COPY` |
//! | `slot_recreated_later` | what was written while there was no slot |
//! | `truncate_that_stalls` | everything after a TRUNCATE |
//! | `unknown_message` | everything after a message of another kind |

#![allow(missing_docs, unreachable_pub, clippy::disallowed_methods, clippy::unwrap_used)]

mod acknowledgement_ahead_of_durability;
mod flush_past_an_open_transaction;
mod key_update_as_last_change;
mod not_a_number;
mod progress_bound_to_a_wrong_slot;
#[path = "../proof/mod.rs"]
mod proof;
mod room;
mod several_rows_at_one_lsn;
mod slot_recreated_later;
mod truncate_that_stalls;
mod unknown_message;
