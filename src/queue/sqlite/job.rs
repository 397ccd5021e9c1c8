//! What the writer is brought to do.

use super::fault::{Fault, undone_with};
use super::writer::Writer;
use crate::delivery::Settled;
use crate::queue::Error;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What the writer is brought.
pub(super) enum Brought {
    /// Something that somebody waits for.
    Job(Job),
    /// Ends of attempts, which are in the journal.
    Noted(Vec<Settled>),
}

/// Something to be done in a transaction.
pub(super) struct Job {
    /// How many bytes it brings.
    pub(super) bytes: usize,
    /// Does it, or says why there is no transaction to do it in.
    pub(super) run: Work,
}

pub(super) type Work = Box<dyn FnOnce(Result<&mut Writer, &Arc<Error>>) -> Ran + Send>;

/// A job that was run and waits for the commit.
pub(super) struct Ran {
    /// Whether it failed, so that what it did must not be committed.
    pub(super) failed: bool,
    /// Tells who asked. The argument is why the transaction was undone, if it was.
    pub(super) answer: Answer,
}

pub(super) type Answer = Box<dyn FnOnce(Option<&Arc<Error>>) + Send>;

impl Ran {
    /// Tells who asked.
    pub(super) fn tell(self, undone: Option<&Arc<Error>>) {
        (self.answer)(undone);
    }
}

impl Job {
    /// A job, and where its answer comes.
    pub(super) fn new<T: Send + 'static>(
        path: Arc<Path>,
        action: &'static str,
        bytes: usize,
        work: impl FnOnce(&mut Writer) -> Result<T, Fault> + Send + 'static,
    ) -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (sender, receiver) = oneshot::channel();
        let run = move |writer: Result<&mut Writer, &Arc<Error>>| {
            let result = match writer {
                Ok(writer) => work(writer).map_err(|fault| fault.at(&path, action)),
                Err(cause) => Err(undone_with(cause, action)),
            };
            // who is refused for want of room leaves what was purged to make some
            let failed = !matches!(result, Ok(_) | Err(Error::Full { .. }));
            let answer = move |undone: Option<&Arc<Error>>| {
                let result = match (result, undone) {
                    (Ok(_), Some(cause)) => Err(undone_with(cause, action)),
                    (result, _) => result,
                };
                // whoever does not wait any more does not want to know
                drop(sender.send(result));
            };
            Ran { failed, answer: Box::new(answer) }
        };
        (Self { bytes, run: Box::new(run) }, receiver)
    }
}
