//! A complete show: a small help desk on a real PostgreSQL, its people at work, and the webhooks that arrive.
//!
//! The demo is a visitor of the program, not a part of it: it starts this executable as `walhook run` with a
//! configuration file, like anybody would, and looks at what its receiver gets. `story` is what happens,
//! `desk` where it happens, `ledger` what is owed and what came, `screen` what one sees.

pub mod cluster;
pub mod receiver;

mod desk;
mod ledger;
mod screen;
mod story;

use crate::remedy::{Remediable, Remedy};
use anstream::ColorChoice;
use desk::Desk;
use ledger::Ledger;
use screen::Screen;
use std::io;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Goes on running after the story, to play with, until the shutdown.
    pub keep: bool,
    /// A server of yours instead of a throwaway one: a schema, two publications and a slot, all called
    /// `walhook_demo…`, are made there and removed at the end.
    pub database_url: Option<String>,
    /// The program that is started as `walhook run`.
    pub executable: PathBuf,
    /// Whether the output is coloured; `Auto` means on a terminal.
    pub color: ColorChoice,
}

/// What goes wrong with a demo.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The throwaway server.
    #[error("the throwaway PostgreSQL did not start")]
    Cluster(#[from] cluster::Error),
    /// The address or the connection.
    #[error("the demo's database cannot be reached")]
    Unreachable(#[from] crate::postgres::Error),
    /// A statement.
    #[error("a statement of the demo failed")]
    Statement(#[from] tokio_postgres::Error),
    /// Files, processes, the receiver's port, or standard output.
    #[error("the demo could not go on")]
    Io(#[from] io::Error),
    /// There is something on the server already.
    #[error("the database has a schema, publication or slot \"walhook_demo\" already")]
    InTheWay,
    /// `walhook run` is not there any more.
    #[error("walhook ended by itself; its last words:\n{log}")]
    Ended {
        /// The end of its log.
        log: String,
    },
    /// Something should have happened, and did not.
    #[error("{what} did not happen within {seconds} s; walhook's last words:\n{log}")]
    Silence {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// The end of walhook's log.
        log: String,
    },
    /// The summary counts losses.
    #[error("{0} deliveries were lost")]
    Lost(usize),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        Remedy::CallOperator
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Cluster(cluster::Error::NoBinaries) => {
                "install a PostgreSQL server (Debian, Ubuntu: apt install postgresql), or use --database-url"
            }
            Self::InTheWay => {
                "from an earlier demo? select pg_drop_replication_slot('walhook_demo'); \
                 drop publication walhook_demo, walhook_demo_inserts; drop schema walhook_demo cascade;"
            }
            Self::Unreachable(_) | Self::Statement(_) => {
                "the demo needs a superuser, or a role that may create schemas and publications and has REPLICATION"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Plays the show. Ends by itself in less than a minute, or at the shutdown, and cleans up in either case.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), Error> {
    let mut screen = Screen::new(options.color);
    screen.title(options.database_url.is_some())?;
    let opened = tokio::select! {
        opened = Desk::open(&options) => opened,
        () = shutdown.cancelled() => return Ok(()),
    };
    let mut desk = opened?;
    let played = tokio::select! {
        played = play(&options, &mut desk, &mut screen) => played,
        () = shutdown.cancelled() => screen.line("\n  interrupted").map_err(Error::from),
    };
    let closed = desk.close().await;
    played?;
    closed?;
    screen.line("  cleaned up: nothing is left behind\n")?;
    Ok(())
}

async fn play(options: &Options, desk: &mut Desk, screen: &mut Screen) -> Result<(), Error> {
    let mut ledger = Ledger::default();
    desk.start().await?;
    screen.places(desk)?;
    story::play(desk, &mut ledger, screen).await?;
    let summary = ledger.summary();
    screen.summary(&summary)?;
    if options.keep {
        screen.invitation(desk)?;
        desk.watch_for_ever(&mut ledger, screen).await?;
    }
    if summary.lost > 0 { Err(Error::Lost(summary.lost)) } else { Ok(()) }
}
