//! Log lines written by a thread of their own: observers must not block, and a terminal or pipe may.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait to be written; further ones are counted and left out.
const LINES_MAX: usize = 4096;

/// How long lines are gathered after others were written.
const TOGETHER: Duration = Duration::from_millis(2);

/// How many bytes are written at once (the last line may go beyond).
const BYTES_TOGETHER: usize = 4096;

/// How long the end of the process waits for the last lines.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Gives lines to the thread.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    sender: SyncSender<Option<Vec<u8>>>,
    left_out: Arc<AtomicU64>,
}

/// The thread; dropped, it waits for the lines written so far.
#[derive(Debug)]
pub struct Flush {
    sender: SyncSender<Option<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread.
pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Lines, Flush)> {
    let (sender, lines) = sync_channel(LINES_MAX);
    let left_out = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&left_out);
    let thread =
        std::thread::Builder::new().name("log".into()).spawn(move || write(out, &lines, &counted))?;
    Ok((Lines { sender: sender.clone(), left_out }, Flush { sender, thread: Some(thread) }))
}

fn write(mut out: impl Write, lines: &Receiver<Option<Vec<u8>>>, left_out: &AtomicU64) {
    let mut ended = false;
    loop {
        let mut line = if ended { lines.try_recv().ok() } else { lines.recv().ok() };
        if line.is_none() {
            break;
        }
        let mut text = Vec::new();
        while let Some(next) = line {
            match next {
                Some(line) => text.extend_from_slice(&line),
                None => ended = true,
            }
            line = if text.len() < BYTES_TOGETHER { lines.try_recv().ok() } else { None };
        }
        // nobody is left to tell when the log itself cannot be written
        let _ = out.write_all(&text);
        let missing = left_out.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(out, "{{\"level\":\"WARN\",\"message\":\"{missing} log lines were left out\"}}");
        }
        if !ended && text.len() < BYTES_TOGETHER {
            // whoever writes a thousand lines in a second need not wake a thread for each
            std::thread::sleep(TOGETHER);
        }
    }
    let _ = out.flush();
}

impl Drop for Flush {
    fn drop(&mut self) {
        let deadline = Instant::now() + FLUSH_MAX;
        let Some(thread) = self.thread.take() else { return };
        if self.sender.try_send(None).is_err() {
            return; // full: whatever reads the log does not
        }
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One line on its way.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.lines.sender.try_send(Some(std::mem::take(&mut self.bytes))).is_err() {
            self.lines.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, bytes: Vec::with_capacity(256) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    /// Writes nothing until it is let go.
    struct Stuck {
        gate: Option<std::sync::mpsc::Receiver<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(gate) = self.gate.take() {
                let _ = gate.recv();
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_stops_nobody_and_what_is_left_out_is_counted() {
        let (let_go, gate) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (lines, flush) = start(Stuck { gate: Some(gate), written: Arc::clone(&written) }).unwrap();
        for number in 0..2 * LINES_MAX {
            writeln!(lines.make_writer(), "line {number}").unwrap();
        }
        let_go.send(()).unwrap();
        // room for the last word
        while lines.sender.try_send(Some(Vec::new())).is_err() {
            std::thread::yield_now();
        }
        drop(flush);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("line 0\n"));
        assert!(text.contains("log lines were left out"), "{text}");
    }

    #[test]
    fn what_was_written_is_there_when_the_process_ends() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (lines, flush) = start(Stuck { gate: None, written: Arc::clone(&written) }).unwrap();
        writeln!(lines.make_writer(), "last").unwrap();
        drop(flush);
        assert_eq!(*written.lock().unwrap(), b"last\n");
    }
}
