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
//! | `acknowledgement_before_reinsert` | a webhook between its failure and its next attempt |
//! | `backlog_past_memory` | the backlog, to the memory limit |
//! | `bad_receiver_among_good_ones` | what the other subscribers should have heard |
//! | `batch_under_one_lease` | order, and that a delivery comes once |
//! | `bytes_that_are_no_text` | everything after a letter of another encoding |
//! | `dead_letter_without_body` | what could not be delivered in time |
//! | `disabled_endpoint_queue` | what waited for an endpoint that was switched off |
//! | `flush_past_an_open_transaction` | a transaction that commits late |
//! | `full_queue` | what waited longest, when there was no room |
//! | `generated_columns` | values, to the wrong fields |
//! | `idle_publication` | the slot, and with it the next change |
//! | `key_update_as_last_change` | the second of two events of one row change |
//! | `large_transaction_half_spilled` | half of a large transaction |
//! | `migration_behind_the_log` | values of rows older than a migration |
//! | `not_a_number` | the batch around a NaN |
//! | `numbers_beyond_doubles` | digits, and with them entries |
//! | `other_ids_after_a_restart` | that a repeat can be told from an event |
//! | `partition_root_and_leaf` | all changes of partitioned tables |
//! | `progress_bound_to_a_wrong_slot` | what lies between two slots |
//! | `replica_identity_changed` | updates and deletions without an old row |
//! | `several_rows_at_one_lsn` | the rest of a `COPY` |
//! | `slot_recreated_later` | what was written while there was no slot |
//! | `stop_in_mid_stream` | what was on its way at an orderly stop |
//! | `table_swapped` | everything after a table took another's place |
//! | `text_of_another_date_style` | the right month, or the batch around it |
//! | `toast_placeholder` | large values that nobody had touched |
//! | `toasted_key` | changes of entries with long keys |
//! | `truncate_that_stalls` | everything after a TRUNCATE |
//! | `unknown_message` | everything after a message of another kind |
//! | `value_beyond_the_limit` | changes with large values |

#![allow(missing_docs, unreachable_pub, clippy::disallowed_methods, clippy::unwrap_used)]

mod acknowledgement_ahead_of_durability;
mod acknowledgement_before_reinsert;
mod backlog_past_memory;
mod bad_receiver_among_good_ones;
mod batch_under_one_lease;
mod bytes_that_are_no_text;
mod dead_letter_without_body;
mod disabled_endpoint_queue;
mod flush_past_an_open_transaction;
mod full_queue;
mod generated_columns;
mod idle_publication;
mod key_update_as_last_change;
mod large_transaction_half_spilled;
mod migration_behind_the_log;
mod not_a_number;
mod numbers_beyond_doubles;
mod other_ids_after_a_restart;
mod partition_root_and_leaf;
mod progress_bound_to_a_wrong_slot;
#[path = "../proof/mod.rs"]
mod proof;
mod replica_identity_changed;
mod room;
mod several_rows_at_one_lsn;
mod slot_recreated_later;
mod stop_in_mid_stream;
mod table_swapped;
mod text_of_another_date_style;
mod toast_placeholder;
mod toasted_key;
mod truncate_that_stalls;
mod unknown_message;
mod value_beyond_the_limit;
