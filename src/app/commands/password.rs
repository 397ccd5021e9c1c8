//! `walhook password`.

use super::Context;
use crate::admin::hashes::PasswordHash;
use crate::app::failure::{Exit, Failure};
use crate::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

/// Shorter ones are guessed.
const CHARACTERS_MIN: usize = 8;

/// Longer ones are a mistake, such as a file.
const BYTES_MAX: u64 = 1024;

/// Reads a password, from the terminal twice without showing it or as the first line of standard input, and prints
/// its hash.
pub async fn perform(context: &Context) -> Result<Exit, Failure> {
    let password = if io::stdin().is_terminal() { typed().await? } else { line()? };
    if password.expose().chars().count() < CHARACTERS_MIN {
        return Err(Failure::usage(format!("a password has at least {CHARACTERS_MIN} characters")));
    }
    let hash = PasswordHash::of(&password).map_err(|error| Failure::new(Exit::Unreachable, error))?;
    if context.output.json {
        context.output.json(&serde_json::json!({ "hash": hash.expose() }))?;
    } else {
        context.output.note("The hash, for [[admin.users]] of the configuration:");
        context.output.text(&format!("password = {:?}", hash.expose()))?;
    }
    Ok(Exit::Well)
}

async fn typed() -> Result<Secret, Failure> {
    let _silent = Silent::begin().map_err(|error| Failure::new(Exit::Unreachable, error))?;
    let asked = tokio::task::spawn_blocking(|| {
        let first = ask("Password: ")?;
        Ok::<_, Failure>((first, ask("The same again: ")?))
    });
    // a signal ends the process only after the terminal is as it was
    let (first, second) = tokio::select! {
        asked = asked => asked.map_err(|error| Failure::new(Exit::Bug, error))??,
        _ = tokio::signal::ctrl_c() => return Err(Failure::no("not done")),
    };
    if first == second { Ok(first) } else { Err(Failure::usage("these are two different passwords")) }
}

fn ask(question: &str) -> Result<Secret, Failure> {
    let mut stderr = anstream::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let answer = line();
    // what ended the line was not shown either
    writeln!(stderr)?;
    answer
}

/// A line of standard input, without its end.
fn line() -> Result<Secret, Failure> {
    let mut line = String::new();
    io::stdin().lock().take(BYTES_MAX + 2).read_line(&mut line)?;
    let ending = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(ending);
    let line = Secret::from(line);
    if line.expose().len() as u64 > BYTES_MAX {
        return Err(Failure::usage(format!("a password has at most {BYTES_MAX} bytes")));
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
