//! Credentials that have to be asked for: once for all deliveries that share them, and again before they expire or when an
//! endpoint does not take them any more.

use crate::auth::{Asks, Granted, Question};
use crate::delivery::Outcome;
use foldhash::HashMap;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};

/// What has been granted, by what it was granted for.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<[u8; 32], Arc<Kept>>>);

/// Asks, and gives the body of a good answer.
pub(super) type Ask<'a> = dyn Fn(Question) -> BoxFuture<'a, Result<Vec<u8>, Outcome>> + Send + Sync + 'a;

/// One asks at a time; the others wait for what it gets.
type Kept = tokio::sync::Mutex<Option<Arc<Granted>>>;

impl Tokens {
    /// What is good now, asked for where there is none. `refused` is what an endpoint has just refused: it is exchanged,
    /// or, if `anew`, asked for from the beginning. `ask` gives the body of a good answer, or what became of the question.
    pub(super) async fn get(
        &self,
        asks: &dyn Asks,
        refused: Option<&Arc<Granted>>,
        anew: bool,
        now_us: i64,
        ask: &Ask<'_>,
    ) -> Result<Arc<Granted>, Outcome> {
        let kept = self.kept(asks.credentials());
        let mut kept = kept.lock().await;
        let good = kept.as_ref().filter(|one| now_us < one.renew_at_us);
        // whoever waited finds what the one before it got
        if let Some(good) = good.filter(|one| !refused.is_some_and(|refused| Arc::ptr_eq(one, refused))) {
            return Ok(Arc::clone(good));
        }
        let unreadable = |reason: &str| Outcome::Unreachable {
            reason: format!("could not authenticate with {}: {reason}", asks.first().place()),
        };
        if let Some(before) = kept.take().filter(|_| !anew)
            && let Ok(answer) = ask(asks.again(&before)).await
            && let Ok(granted) = asks.read(&answer, Some(&before), now_us)
        {
            return Ok(Arc::clone(kept.insert(Arc::new(granted))));
        }
        let answer = ask(asks.first()).await?;
        let granted = asks.read(&answer, None, now_us).map_err(unreadable)?;
        Ok(Arc::clone(kept.insert(Arc::new(granted))))
    }

    fn kept(&self, credentials: [u8; 32]) -> Arc<Kept> {
        // nothing here can be left half done
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(&credentials) {
            // those that nobody asks for now and that are not granted
            all.retain(|_, kept| {
                Arc::strong_count(kept) > 1 || kept.try_lock().is_ok_and(|kept| kept.is_some())
            });
        }
        Arc::clone(all.entry(credentials).or_default())
    }
}
