//! Who makes the attempts.

use super::signed::Signer;
use super::tokens::Tokens;
use crate::auth::{self, Asks, Authenticator, Granted, Question};
use crate::delivery::{Body, Claim, Outcome};
use crate::format;
use crate::transport::{Endpoint, Transport, Trust};
use crate::webhook::{Callback, Webhook, WebhookId};
use bytes::Bytes;
use foldhash::HashMap;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Makes attempts. Dispatch knows no more of HTTP than this.
pub trait Courier: Send + Sync {
    /// Makes one attempt; `now_us` is the time of day in microseconds since 1970 UTC.
    fn attempt<'a>(
        &'a self,
        webhook: &'a Arc<Webhook>,
        claim: &'a Claim,
        now_us: i64,
    ) -> BoxFuture<'a, Outcome>;

    /// Whether the last attempt for a webhook found nobody who let it in, so that it makes sense to knock.
    fn is_shut(&self, webhook: &Arc<Webhook>) -> bool;

    /// Where one knocks for a webhook. Webhooks with the same door are let in or kept out alike.
    fn door(&self, webhook: &Webhook) -> Door;

    /// Knocks: whether somebody would let an attempt in. Nothing is sent.
    fn knock<'a>(&'a self, webhook: &'a Webhook) -> BoxFuture<'a, bool>;
}

/// Where one knocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Door(pub String);

/// Makes attempts over HTTP. What a webhook needs is made ready once for each of its versions.
pub struct HttpCourier {
    transport: Transport,
    trust: fn(&Webhook) -> Trust,
    prepared: Mutex<HashMap<WebhookId, Version>>,
    tokens: Tokens,
}

/// A version of a webhook, and what was made of it.
type Version = (Arc<Webhook>, Arc<Prepared>);

/// A webhook made ready, or why it cannot be.
type Prepared = Result<Ready, String>;

struct Ready {
    endpoint: Endpoint,
    authenticator: Box<dyn Authenticator>,
    signer: Option<Signer>,
}

impl HttpCourier {
    /// `trust` tells who stands for a webhook: the address guard asks.
    pub fn new(transport: Transport, trust: fn(&Webhook) -> Trust) -> Self {
        Self { transport, trust, prepared: Mutex::default(), tokens: Tokens::default() }
    }

    fn prepared(&self, webhook: &Arc<Webhook>) -> Arc<Prepared> {
        // nothing here can be left half done
        let mut all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&webhook.id) {
            Some((version, prepared)) if Arc::ptr_eq(version, webhook) => Arc::clone(prepared),
            _ => {
                // those that nobody else holds are no longer registered
                all.retain(|_, (version, _)| Arc::strong_count(version) > 1);
                let prepared = Arc::new(self.prepare(webhook));
                all.insert(webhook.id, (Arc::clone(webhook), Arc::clone(&prepared)));
                prepared
            }
        }
    }

    /// Sends with credentials that are asked for. What the endpoint does not take (401) is exchanged and tried once more,
    /// and asked for from the beginning after that: some revoke a token before its time.
    async fn send_granted(
        &self,
        webhook: &Webhook,
        endpoint: &Endpoint,
        asks: &dyn Asks,
        (claim, body): (&Claim, &Body),
        headers: HeaderMap,
        now_us: i64,
    ) -> Outcome {
        let ask = |question: Question| -> BoxFuture<'_, _> { Box::pin(self.ask(webhook, question)) };
        let mut refused: Option<Arc<Granted>> = None;
        for tries in 0.. {
            let granted = self.tokens.get(asks, refused.as_ref(), tries == 2, now_us, &ask).await;
            let granted = match granted {
                Ok(granted) => granted,
                Err(outcome) => return outcome,
            };
            let mut headers = headers.clone();
            asks.apply(&granted, &mut headers);
            let outcome = self.transport.send(endpoint, claim, body, headers, now_us).await;
            if tries == 2 || !matches!(outcome, Outcome::Answered { status: 401, .. }) {
                return outcome;
            }
            refused = Some(granted);
        }
        unreachable!("it ends with the third try")
    }

    async fn ask(&self, webhook: &Webhook, question: Question) -> Result<Vec<u8>, Outcome> {
        let callback = Callback { url: question.url.clone(), ..webhook.callback.clone() };
        let body = Bytes::from(question.body.expose().to_owned());
        let timeout = webhook.sending.timeout;
        let asked = self.transport.ask(&callback, (self.trust)(webhook), body, timeout).await;
        asked.map_err(|outcome| match outcome {
            Outcome::Refused { .. } => outcome,
            Outcome::Unreachable { reason } => unauthenticated(&question, &reason),
            outcome => unauthenticated(&question, &outcome.to_string()),
        })
    }

    fn prepare(&self, webhook: &Webhook) -> Prepared {
        let endpoint =
            self.transport.prepare(webhook, (self.trust)(webhook)).map_err(|error| error.to_string())?;
        let authenticator = auth::prepare(&webhook.callback.authentication)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let signer = webhook.policy.as_ref().map(|policy| Signer::new(policy, &webhook.name)).transpose();
        let signer = signer.map_err(|error| error.to_string())?;
        Ok(Ready { endpoint, authenticator, signer })
    }
}

/// Who grants did not: that is tried again like an endpoint that cannot be reached.
fn unauthenticated(question: &Question, reason: &str) -> Outcome {
    Outcome::Unreachable { reason: format!("could not authenticate with {}: {reason}", question.place()) }
}

impl Courier for HttpCourier {
    fn attempt<'a>(
        &'a self,
        webhook: &'a Arc<Webhook>,
        claim: &'a Claim,
        now_us: i64,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match &*self.prepared(webhook) {
                Err(reason) => Outcome::Refused { reason: reason.clone() },
                Ok(Ready { endpoint, authenticator, signer }) => {
                    let signed = match signer.as_ref().map(|signer| signer.sign(claim, now_us)).transpose() {
                        Ok(signed) => signed,
                        Err(error) => return Outcome::Unreachable { reason: error.to_string() },
                    };
                    let body = signed.as_ref().unwrap_or(&claim.body);
                    let mut headers = HeaderMap::new();
                    headers.extend(format::find(webhook.format).and_then(|format| format.header(claim.id)));
                    authenticator.apply(&mut headers);
                    match authenticator.asks() {
                        None => self.transport.send(endpoint, claim, body, headers, now_us).await,
                        // rare, and large: apart, so that what every attempt carries along is small
                        Some(asks) => {
                            Box::pin(self.send_granted(
                                webhook,
                                endpoint,
                                asks,
                                (claim, body),
                                headers,
                                now_us,
                            ))
                            .await
                        }
                    }
                }
            }
        })
    }

    fn is_shut(&self, webhook: &Arc<Webhook>) -> bool {
        self.prepared(webhook).as_ref().as_ref().is_ok_and(|ready| ready.endpoint.is_shut())
    }

    fn door(&self, webhook: &Webhook) -> Door {
        // what the guard lets one in for, it can keep another one from
        let trust = (self.trust)(webhook);
        let callback = &webhook.callback;
        let by = callback.proxy.as_ref().map(|proxy| format!(" by {proxy} of {:?}", proxy.named_by));
        let place = callback.url.origin().ascii_serialization();
        Door(format!("{trust:?} {place}{}", by.unwrap_or_default()))
    }

    fn knock<'a>(&'a self, webhook: &'a Webhook) -> BoxFuture<'a, bool> {
        Box::pin(self.transport.knock(&webhook.callback, (self.trust)(webhook)))
    }
}
