//! Threads with a scheduler of their own.

use std::io;
use std::panic::resume_unwind;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// A scheduler that runs everything on the thread that asks it to.
///
/// Several threads under one scheduler wake each other for every answer of an endpoint, and on a machine that is
/// shared with a database these wakings cost more than what they spread.
pub(super) fn scheduler() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs a task on a thread of its own, which ends with it. What the task spawns runs there, too, and is dropped when
/// it ends. The thread has the `name` (in Linux its first 15 bytes).
pub(super) fn spawn<T>(tasks: &mut JoinSet<()>, name: &'static str, task: T) -> io::Result<()>
where
    T: Future<Output = ()> + Send + 'static,
{
    let runtime = scheduler()?;
    let (ended, end) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(task);
        // a blocked lookup of a name must not hold the process
        runtime.shutdown_background();
        drop(ended);
    })?;
    tasks.spawn(async move {
        // nothing is ever sent: it ends with the thread, however that ends
        let _: Result<(), _> = end.await;
        if let Err(panicked) = thread.join() {
            resume_unwind(panicked);
        }
    });
    Ok(())
}
