//! Where changes come from: the replication connection and its decoders.

use crate::change::{Relation, RelationId, RowChange};
use crate::lsn::{Durable, Lsn};
use bytes::Bytes;
use std::future::Future;

mod control;
mod error;
#[doc(hidden)]
pub mod frames;
mod handover;
pub mod pgoutput;
mod pump;
mod slot;
mod stream;
mod witness;

pub use control::{Control, CreatedSlot, SystemIdentity, TimelineSwitch, WalPosition};
pub use error::Error;
pub use slot::{SlotState, confirmed};
pub use stream::Stream;

/// The output plugin that is read.
const PLUGIN: &str = "pgoutput";

/// What the log says, in the order in which it says it.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A transaction begins. All its changes follow, then its `Commit`; transactions come in commit order and
    /// never interleave.
    Begin {
        /// The LSN of its commit record.
        commit_lsn: Lsn,
        /// When it was committed, in microseconds since 1970 UTC.
        committed_at_us: i64,
        /// Its number.
        xid: u32,
    },
    /// The transaction is complete.
    Commit {
        /// The LSN of the commit record, as `Begin` said.
        commit_lsn: Lsn,
        /// The end of the commit record: what may be confirmed once the transaction is dealt with.
        end_lsn: Lsn,
    },
    /// The transaction came from another node, or its session says so.
    Origin {
        /// The origin's name.
        name: String,
    },
    /// How a table looks from here on.
    Relation(Relation),
    /// A row changed.
    Change {
        /// The table; its `Relation` came before.
        relation: RelationId,
        /// The change.
        change: RowChange,
    },
    /// Tables were emptied.
    Truncate {
        /// Which.
        relations: Vec<RelationId>,
    },
    /// Somebody wrote a message into the log (`pg_logical_emit_message`).
    Logical {
        /// Whether it belongs to the transaction around it.
        transactional: bool,
        /// Its prefix.
        prefix: String,
        /// Its content.
        content: Bytes,
    },
    /// A row change that could not be read.
    Undecodable {
        /// The table, where it could be read.
        relation: Option<RelationId>,
        /// Why.
        reason: String,
        /// The message as it came.
        bytes: Bytes,
    },
    /// The server has nothing more to say for now.
    Keepalive {
        /// Everything of ours up to here has been sent.
        wal_end: Lsn,
    },
}

/// A stream of the log.
pub trait Source: Send {
    /// What goes wrong with it.
    type Error: crate::remedy::Remediable + Send + Sync + 'static;

    /// The next message. Dropping the future loses nothing. Never ends but by an error.
    fn next(&mut self) -> impl Future<Output = Result<Message, Self::Error>> + Send;

    /// The next message, if it is here already; a reader that batches asks until there is none.
    fn try_next(&mut self) -> Result<Option<Message>, Self::Error>;

    /// Tells the server that it may forget everything up to there. Takes effect soon, at the latest with the
    /// next status update.
    fn confirm(&self, durable: Durable);

    /// Ends the stream: the last confirmation has reached the server when this returns.
    fn close(self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
