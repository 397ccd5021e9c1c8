//! Messages that are signed as a whole: `{"jwt": "<token>"}`, with the message among the token's claims.
//!
//! The claims are those that receivers of Xurrent's look for ("Webhook Policies"): `iss`, `sub`, `aud` and `exp` where the
//! policy has them, `iat`, `nbf`, `jti`, and the message as `data`. A token is made at each attempt, for its times are those
//! of the attempt; what is kept in the queue is the message.

use crate::delivery::{Body, Claim};
use crate::jws::{self, Key};
use crate::policy::Policy;
use bytes::Bytes;
use serde::Serialize;

/// A policy ready to sign.
pub(super) struct Signer {
    key: Key,
    policy: Policy,
    subject: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    iat: i64,
    nbf: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    jti: String,
}

impl Signer {
    /// For the webhook of that name.
    pub(super) fn new(policy: &Policy, webhook: &str) -> Result<Self, jws::Error> {
        let key = Key::read(policy.algorithm, &policy.key)?;
        Ok(Self { key, policy: policy.clone(), subject: webhook.to_owned() })
    }

    /// A delivery's body with the message signed.
    pub(super) fn sign(&self, claim: &Claim, now_us: i64) -> Result<Body, jws::Error> {
        let now = now_us.div_euclid(1_000_000);
        let policy = &self.policy;
        let lasts = policy.expires_in.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        let claims = Claims {
            iss: &policy.issuer,
            sub: &self.subject,
            aud: policy.audience.as_deref(),
            iat: now,
            nbf: now,
            exp: lasts.map(|seconds| now.saturating_add(seconds)),
            jti: claim.id.to_string(),
        };
        let body = &claim.body;
        let mut text = serde_json::to_vec(&claims).expect("texts and numbers are JSON");
        // the message is JSON already, and stays as it is to the letter
        text.pop();
        text.reserve_exact(body.head.len() + body.tail.len() + 16);
        text.extend_from_slice(br#","data":"#);
        text.extend_from_slice(&body.head);
        text.extend_from_slice(&body.tail);
        text.push(b'}');
        let mut token = String::with_capacity(text.len() / 3 * 4 + 1024);
        token.push_str(r#"{"jwt":""#);
        let id = policy.is_discovered.then_some(policy.name.as_str());
        self.key.sign(id, &text, &mut token)?;
        token.push_str("\"}");
        let mut content_type = "application/json; charset=utf-8".to_owned();
        body.headers().for_each(|(name, value)| content_type += &format!("\n{name}: {value}"));
        Ok(Body { head: Bytes::from(token), tail: Bytes::new(), content_type })
    }
}
