//! Between the pump, which owns the socket, and the reader: what has arrived, bounded by bytes.

use super::Error;
use super::frames::FromServer;
use crate::lsn::Lsn;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What an item costs besides its payload, in bytes: its place in the queue.
const ITEM_BYTES: usize = 48;

/// Something for the reader, in the order of its arrival.
#[derive(Debug)]
pub(super) enum Item {
    /// A message of the output plugin.
    Payload(Bytes),
    /// A keepalive.
    WalEnd(Lsn),
}

impl Item {
    pub(super) fn of(frame: FromServer) -> Self {
        match frame {
            FromServer::Data { payload, .. } => Self::Payload(payload),
            FromServer::Keepalive { wal_end, .. } => Self::WalEnd(wal_end),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Payload(payload) => payload.len() + ITEM_BYTES,
            Self::WalEnd(_) => ITEM_BYTES,
        }
    }
}

/// The queue between the two. The reader takes all that is there at once, so at most twice `bytes_max` is
/// held: once here, once with the reader.
#[derive(Debug)]
pub(super) struct Handover {
    state: Mutex<State>,
    bytes_max: usize,
    arrived: Notify,
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    end: Option<End>,
}

/// The stream is over.
#[derive(Debug)]
enum End {
    /// Why; told once.
    Untold(Error),
    /// Nothing more to say.
    Told,
}

impl Handover {
    pub(super) fn new(bytes_max: usize) -> Self {
        let (arrived, taken) = (Notify::new(), Notify::new());
        Self { state: Mutex::default(), bytes_max, arrived, taken }
    }

    /// Nothing here can leave the state half changed, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item in, or gives it back if there is no room. An item larger than all room is taken alone.
    pub(super) fn put(&self, item: Item) -> Result<(), Item> {
        let mut state = self.state();
        // of several keepalives in a row, the last says it all
        if let (Item::WalEnd(new), Some(Item::WalEnd(old))) = (&item, state.items.back_mut()) {
            *old = *new;
            return Ok(());
        }
        let bytes = item.bytes();
        if state.bytes > 0 && state.bytes + bytes > self.bytes_max {
            return Err(item);
        }
        state.bytes += bytes;
        state.items.push_back(item);
        let was_empty = state.items.len() == 1;
        drop(state);
        if was_empty {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until the reader has taken something. Dropping the future loses nothing.
    pub(super) async fn room(&self) {
        self.taken.notified().await;
    }

    /// Takes all that is there. If nothing is there and the stream is over, says why (once).
    pub(super) fn take(&self, into: &mut VecDeque<Item>) -> Result<(), Option<Error>> {
        let mut state = self.state();
        if state.items.is_empty() {
            return match state.end.replace(End::Told) {
                None => {
                    state.end = None;
                    Ok(())
                }
                Some(End::Untold(error)) => Err(Some(error)),
                Some(End::Told) => Err(None),
            };
        }
        into.append(&mut state.items);
        state.bytes = 0;
        drop(state);
        self.taken.notify_one();
        Ok(())
    }

    /// Waits until something has arrived or the stream is over. Dropping the future loses nothing.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// Ends the stream: behind what is still in here.
    pub(super) fn end(&self, why: Option<Error>) {
        self.state().end = Some(why.map_or(End::Told, End::Untold));
        self.arrived.notify_one();
    }

    /// Why the stream is over, if that was not told yet.
    pub(super) fn trouble(&self) -> Option<Error> {
        match self.state().end.replace(End::Told) {
            Some(End::Untold(error)) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(bytes: usize) -> Item {
        Item::Payload(vec![0; bytes].into())
    }

    fn take(handover: &Handover) -> usize {
        let mut items = VecDeque::new();
        handover.take(&mut items).unwrap();
        items.len()
    }

    #[test]
    fn the_room_is_counted_in_bytes_and_a_giant_goes_alone() {
        let handover = Handover::new(1000);
        handover.put(payload(400)).unwrap();
        handover.put(payload(400)).unwrap();
        assert!(handover.put(payload(400)).is_err());
        assert_eq!(take(&handover), 2);
        handover.put(payload(5000)).unwrap();
        assert!(handover.put(payload(1)).is_err());
        assert_eq!(take(&handover), 1);
        assert_eq!(take(&handover), 0);
    }

    #[test]
    fn keepalives_in_a_row_become_one() {
        let handover = Handover::new(1000);
        for lsn in 1..100 {
            handover.put(Item::WalEnd(Lsn(lsn))).unwrap();
        }
        let mut items = VecDeque::new();
        handover.take(&mut items).unwrap();
        assert!(matches!(items.make_contiguous(), [Item::WalEnd(Lsn(99))]));
    }

    #[test]
    fn the_end_comes_behind_everything_and_is_told_once() {
        let handover = Handover::new(1000);
        handover.put(payload(1)).unwrap();
        handover.end(Some(Error::Ended { slot: "s".into() }));
        assert_eq!(take(&handover), 1);
        let mut items = VecDeque::new();
        assert!(matches!(handover.take(&mut items), Err(Some(Error::Ended { .. }))));
        assert!(matches!(handover.take(&mut items), Err(None)));
    }
}
