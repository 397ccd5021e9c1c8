//! A stream of the log, as capture reads it.

use super::handover::Item;
use super::pump::{Pump, Shared};
use super::witness::Witness;
use super::{Error, Message, Source, pgoutput};
use crate::failpoint;
use crate::lsn::{Durable, Lsn};
use crate::postgres::raw::RawConnection;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How much may wait between the socket and the reader, in bytes; as much again can be with the reader.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A stream of the log. Dropped, it breaks off: what was confirmed last may not have reached the server then.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    taken: VecDeque<Item>,
    pump: JoinSet<()>,
}

impl Stream {
    pub(super) fn begin(
        connection: RawConnection,
        witness: Option<Witness>,
        slot: &str,
        from: Lsn,
        status_interval: Duration,
    ) -> Self {
        let shared = Arc::new(Shared::new(slot, from, WAITING_BYTES_MAX));
        let mut pump = JoinSet::new();
        let theirs = Arc::clone(&shared);
        pump.spawn(async move { Pump::new(connection, witness, &theirs, from, status_interval).run().await });
        Self { shared, taken: VecDeque::new(), pump }
    }

    fn ended(&self) -> Error {
        Error::Ended { slot: self.shared.slot.clone() }
    }
}

impl Source for Stream {
    type Error = Error;

    async fn next(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.try_next()? {
                return Ok(message);
            }
            self.shared.handover.arrival().await;
        }
    }

    fn try_next(&mut self) -> Result<Option<Message>, Error> {
        loop {
            match self.taken.pop_front() {
                Some(Item::WalEnd(wal_end)) => return Ok(Some(Message::Keepalive { wal_end })),
                Some(Item::Payload(payload)) => {
                    if let Some(message) = pgoutput::decode(payload)? {
                        return Ok(Some(message));
                    }
                }
                None => {
                    let taken = self.shared.handover.take(&mut self.taken);
                    taken.map_err(|why| why.unwrap_or_else(|| self.ended()))?;
                    if self.taken.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn confirm(&self, durable: Durable) {
        failpoint::reach("source.confirm.before");
        self.shared.confirm(durable.end_lsn());
        failpoint::reach("source.confirm.after");
    }

    async fn close(mut self) -> Result<(), Error> {
        self.shared.closing.cancel();
        while let Some(done) = self.pump.join_next().await {
            done.expect("the pump does not panic");
        }
        self.shared.handover.trouble().map_or(Ok(()), Err)
    }
}
