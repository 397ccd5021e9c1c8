//! Tests of webhooks that nobody waits for: some products answer before the endpoint does.

use super::problem::{Answer, Problem};
use crate::delivery::Outcome;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// How many may be under way: an endpoint that does not answer keeps one as long as its timeout is.
const UNDER_WAY_MAX: usize = 64;

/// The tests that are under way. They end with the last copy of this.
#[derive(Clone, Debug, Default)]
pub struct Trials(Arc<Mutex<JoinSet<()>>>);

impl Trials {
    /// Begins one.
    pub(super) fn begin(&self, trial: BoxFuture<'static, Outcome>) -> Answer<()> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= UNDER_WAY_MAX {
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many tests are under way");
            return Err(problem.header(RETRY_AFTER, HeaderValue::from_static("10")));
        }
        under_way.spawn(async {
            trial.await;
        });
        Ok(())
    }
}
