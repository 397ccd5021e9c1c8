//! How a command ends, and how it says why.

use super::config;
use crate::queue;
use crate::remedy::Remediable;
use std::error::Error;
use std::fmt::Write as _;

/// The exit codes (those of BSD's sysexits where they fit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Well = 0,
    /// The answer is no: a check found something, nothing fits.
    No = 1,
    /// Bad usage or configuration.
    Usage = 64,
    /// Something cannot be reached or used: a server, the queue.
    Unreachable = 69,
    /// A bug of walhook's.
    Bug = 70,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended badly.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What happened, with its causes.
    pub error: Box<dyn Error + Send + Sync>,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with its causes.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    /// Bad usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message.into())
    }

    /// The answer is no.
    pub fn no(message: impl Into<String>) -> Self {
        Self::new(Exit::No, message.into())
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure of an edge: with its own hint.
    pub fn of(error: impl Remediable + Send + Sync + 'static) -> Self {
        let hint = error.hint();
        Self { exit: Exit::Unreachable, error: Box::new(error), hint }
    }

    /// Whether somebody closed the other end of our output: no failure at all.
    pub fn is_closed_pipe(&self) -> bool {
        let io = self.error.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// As it is printed: the error, its causes, the hint.
    pub fn describe(&self, styled: bool) -> String {
        let (red, cyan, plain) = if styled { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
        let mut text = String::new();
        if let Some(config::Error::Wrong(problems)) = self.error.downcast_ref() {
            text = if styled { problems.draw_styled() } else { problems.to_string() };
            text.push_str("\n\n");
        }
        let _ = write!(text, "{red}error{plain}: {}", self.error);
        let mut cause = self.error.source();
        // an error and its cause may both say the same
        let mut said = self.error.to_string();
        while let Some(error) = cause {
            let message = error.to_string();
            if message != said {
                let _ = write!(text, "\n  caused by: {message}");
            }
            said = message;
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\n{cyan}hint{plain}: {hint}");
        }
        text
    }

    /// The same for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let mut causes = Vec::new();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let mut json =
            serde_json::json!({ "error": self.error.to_string(), "causes": causes, "hint": self.hint });
        if let Some(config::Error::Wrong(problems)) = self.error.downcast_ref() {
            json["problems"] = problems.to_json()["problems"].take();
        }
        json
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        let hint = match &error {
            config::Error::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Some("name the file with --config, or begin one with `walhook config example > walhook.toml`")
            }
            config::Error::Unreadable { .. } | config::Error::Wrong(_) => None,
        };
        Self { hint: hint.map(str::to_owned), ..Self::new(Exit::Usage, error) }
    }
}

impl From<queue::Error> for Failure {
    fn from(error: queue::Error) -> Self {
        let exit = match error {
            queue::Error::Bug { .. } => Exit::Bug,
            queue::Error::Exists { .. } => Exit::Usage,
            _ => Exit::Unreachable,
        };
        Self { exit, ..Self::of(error) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Unreachable, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the queue could not enqueue")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_failure_tells_its_causes_and_the_remedy() {
        let failure = Failure::new(Exit::Unreachable, Outer(std::io::Error::other("the disk is full")))
            .hint("make room");
        assert_eq!(
            failure.describe(false),
            "error: the queue could not enqueue\n  caused by: the disk is full\nhint: make room"
        );
        assert_eq!(failure.to_json()["causes"][0], "the disk is full");
        assert!(!failure.is_closed_pipe());
        assert!(Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).is_closed_pipe());
    }
}
