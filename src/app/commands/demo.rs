//! `walhook demo`.

use super::Context;
use crate::app::cli::{Color, Demo};
use crate::app::failure::{Exit, Failure};
use crate::app::signals;
use crate::demo;
use anstream::ColorChoice;

/// Shows everything on a throwaway PostgreSQL, and cleans up, also after Ctrl-C. Ends with 1 where a delivery was
/// lost.
pub async fn perform(context: &Context, arguments: &Demo) -> Result<Exit, Failure> {
    let options = demo::Options {
        keep: arguments.keep,
        database_url: arguments.database_url.clone(),
        executable: std::env::current_exe()?,
        color: match context.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        },
    };
    let mut signals = signals::Shutdown::listen()?;
    let shutdown = signals.token();
    let shown = demo::run(options, shutdown);
    tokio::pin!(shown);
    let ended = loop {
        tokio::select! {
            ended = &mut shown => break ended,
            () = signals.arrived() => {}
        }
    };
    match ended {
        Ok(()) => Ok(Exit::Well),
        Err(error @ demo::Error::Lost(_)) => Err(Failure { exit: Exit::No, ..Failure::of(error) }),
        Err(error) => Err(Failure::of(error)),
    }
}
