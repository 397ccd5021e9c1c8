//! How much an endpoint may say.
//!
//! The client bounds what it keeps of an answer, but not what it looks through: an endpoint can send digits of a
//! chunk's size, 1xx answers or frames of HTTP/2 without end, as fast as the network carries them, and they are
//! read as long as more have arrived. So every connection has an allowance of bytes. Each request adds to it, its
//! end takes away what it left, and whoever says more is cut off. And whoever says much at once gives the other
//! connections their turn.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection may bring beyond its requests' answers: the handshake of TLS, settings, pings.
const BESIDE_BYTES_MAX: u64 = 256 * 1024;

/// How much may be read before others have their turn.
const TURN_BYTES_MAX: usize = 32 * 1024;

/// The endpoint said more than any answer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint sends without end")]
pub(super) struct TooMuch;

/// What a connection may still bring.
pub(super) struct Allowance(Mutex<State>);

struct State {
    left: u64,
    /// The sum of the grants that are out.
    granted: u64,
}

impl Allowance {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { left: BESIDE_BYTES_MAX, granted: 0 }))
    }

    /// Adds so many bytes, as long as the grant is kept.
    pub(super) fn grant(self: &Arc<Self>, bytes: u64) -> Grant {
        let mut state = self.state();
        state.granted += bytes;
        state.left = (state.left + bytes).min(BESIDE_BYTES_MAX + state.granted);
        Grant { allowance: Arc::clone(self), bytes }
    }

    fn left(&self) -> u64 {
        self.state().left
    }

    fn take(&self, bytes: u64) -> Result<(), TooMuch> {
        let mut state = self.state();
        let enough = state.left >= bytes;
        state.left = state.left.saturating_sub(bytes);
        if enough { Ok(()) } else { Err(TooMuch) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request adds to its connection's allowance. What is left of it goes with it: who answers in few words
/// does not save up for a flood.
pub(super) struct Grant {
    allowance: Arc<Allowance>,
    bytes: u64,
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut state = self.allowance.state();
        state.granted -= self.bytes;
        state.left = state.left.min(BESIDE_BYTES_MAX + state.granted);
    }
}

/// A connection that has an allowance.
pub(super) struct Allowed<S> {
    stream: S,
    allowance: Arc<Allowance>,
    /// How much was read since others had their turn.
    turn_bytes: usize,
}

impl<S> Allowed<S> {
    pub(super) fn new(stream: S, allowance: Arc<Allowance>) -> Self {
        Self { stream, allowance, turn_bytes: 0 }
    }

    pub(super) fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Allowed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.turn_bytes >= TURN_BYTES_MAX {
            this.turn_bytes = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // where nothing is left, the end of the connection can still be read
        let left = usize::try_from(this.allowance.left().max(1)).unwrap_or(usize::MAX);
        let bytes_max = (TURN_BYTES_MAX - this.turn_bytes).min(left);
        let stream = Pin::new(&mut this.stream);
        let filled = buffer.filled().len();
        let polled = if buffer.remaining() <= bytes_max {
            stream.poll_read(context, buffer)
        } else {
            // a part of a buffer has to be filled with zeros first, as this file may not say that bytes are there
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(bytes_max));
            let polled = stream.poll_read(context, &mut part);
            let read = part.filled().len();
            buffer.advance(read);
            polled
        };
        if polled.is_pending() {
            this.turn_bytes = 0;
        }
        ready!(polled)?;
        let read = buffer.filled().len() - filled;
        if let Err(too_much) = this.allowance.take(read as u64) {
            // who gets an error has read nothing
            buffer.set_filled(filled);
            return Poll::Ready(Err(io::Error::other(too_much)));
        }
        this.turn_bytes += read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Allowed<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::io::AsyncReadExt;

    fn allowed(bytes: usize) -> Allowed<io::Cursor<Vec<u8>>> {
        Allowed::new(io::Cursor::new(vec![b'0'; bytes]), Arc::new(Allowance::new()))
    }

    async fn read_all(stream: &mut Allowed<io::Cursor<Vec<u8>>>) -> (usize, io::Result<usize>) {
        let mut read = Vec::new();
        let end = stream.read_to_end(&mut read).await;
        (read.len(), end)
    }

    #[tokio::test]
    async fn who_says_more_than_allowed_is_cut_off() {
        let beside = BESIDE_BYTES_MAX as usize;
        let mut exact = allowed(beside);
        assert_eq!(read_all(&mut exact).await.1.unwrap(), beside);

        let mut more = allowed(beside + 1);
        let (read, end) = read_all(&mut more).await;
        assert_eq!((read, end.unwrap_err().to_string()), (beside, TooMuch.to_string()));

        let mut asked = allowed(beside + 1000);
        let grant = asked.allowance().grant(1000);
        assert_eq!(read_all(&mut asked).await.1.unwrap(), beside + 1000);
        drop(grant);
        assert_eq!(asked.allowance().left(), 0);
    }

    #[test]
    fn nothing_is_saved_up() {
        let allowance = Arc::new(Allowance::new());
        for _ in 0..100 {
            drop(allowance.grant(1000));
        }
        assert_eq!(allowance.left(), BESIDE_BYTES_MAX);
        let (first, second) = (allowance.grant(1000), allowance.grant(500));
        assert_eq!(allowance.left(), BESIDE_BYTES_MAX + 1500);
        allowance.take(200).unwrap();
        drop(first);
        // what the first had left may be the second's
        assert_eq!(allowance.left(), BESIDE_BYTES_MAX + 500);
        drop(second);
        assert_eq!(allowance.left(), BESIDE_BYTES_MAX);
        // a grant gives back what pings have used since
        allowance.take(300).unwrap();
        drop(allowance.grant(1000));
        assert_eq!(allowance.left(), BESIDE_BYTES_MAX);
    }

    #[test]
    fn who_says_much_gives_others_their_turn() {
        let mut stream = allowed(3 * TURN_BYTES_MAX);
        let mut read = vec![0; 3 * TURN_BYTES_MAX];
        let mut reading = Box::pin(stream.read_exact(&mut read));
        assert!(reading.as_mut().now_or_never().is_none());
        assert!(reading.as_mut().now_or_never().is_none());
        assert!(reading.as_mut().now_or_never().is_some());
    }
}
