//! What is typed on a terminal that does not show it.

use super::failure::{Exit, Failure};
use crate::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead as _, Read as _, Write as _};

/// Asks, and reads a line for each question. What was typed before the first one counts for nothing. `bytes_max` is the
/// longest answer.
pub(super) async fn ask(questions: &'static [&'static str], bytes_max: u64) -> Result<Vec<Secret>, Failure> {
    let _silent = Silent::begin().map_err(|error| Failure::new(Exit::Unreachable, error))?;
    let asked =
        tokio::task::spawn_blocking(move || questions.iter().map(|one| answer(one, bytes_max)).collect());
    // a signal ends the process only after the terminal is as it was
    tokio::select! {
        asked = asked => asked.map_err(|error| Failure::new(Exit::Bug, error))?,
        _ = tokio::signal::ctrl_c() => Err(Failure::no("not done")),
    }
}

fn answer(question: &str, bytes_max: u64) -> Result<Secret, Failure> {
    let mut stderr = anstream::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let answer = line(bytes_max);
    // what ended the line was not shown either
    writeln!(stderr)?;
    answer
}

/// A line of standard input, without its end.
pub(super) fn line(bytes_max: u64) -> Result<Secret, Failure> {
    let mut line = String::new();
    io::stdin().lock().take(bytes_max + 2).read_line(&mut line)?;
    let ending = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(ending);
    let line = Secret::from(line);
    if line.expose().len() as u64 > bytes_max {
        return Err(Failure::usage(format!("what was typed has more than {bytes_max} bytes")));
    }
    Ok(line)
}

/// A terminal that does not show what is typed, until it is dropped.
struct Silent(Termios);

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
