//! Sessions: who logs in with name and password gets a token that is good for an hour.
//!
//! The token is a JSON Web Token, as AR System gives out, so that programs that look into one find what they expect. It
//! is signed under a key of this process and kept as a hash: what is not kept here is no session, whatever it says.

use super::hashes::TokenHash;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a token is good.
pub(super) const LIFETIME: Duration = Duration::from_secs(3600);

/// Clocks of others may be behind by so much.
const EARLIER: Duration = Duration::from_secs(120);

/// How many sessions there are at once; the one that ends first makes room.
const SESSIONS_MAX: usize = 10_000;

/// Those who are logged in.
pub(super) struct Sessions {
    key: hmac::Key,
    open: Mutex<HashMap<TokenHash, Session>>,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The account's name.
    pub(super) name: String,
    /// What its password was known by: with another one the session is void.
    pub(super) proof: String,
    until: Instant,
}

impl Sessions {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self { key: key.expect("the system has random numbers"), open: Mutex::default() }
    }

    /// Opens a session; returns its token.
    pub(super) fn open(&self, name: &str, proof: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let token = self.token(name, now, rand::random());
        let session =
            Session { name: name.to_owned(), proof: proof.to_owned(), until: Instant::now() + LIFETIME };
        let mut open = self.sessions();
        if open.len() >= SESSIONS_MAX {
            let now = Instant::now();
            open.retain(|_, session| session.until > now);
        }
        if open.len() >= SESSIONS_MAX {
            let first = open.iter().min_by_key(|(_, session)| session.until).map(|(token, _)| *token);
            first.map(|token| open.remove(&token));
        }
        open.insert(TokenHash::of(&token), session);
        token
    }

    /// Whose session it is.
    pub(super) fn find(&self, token: &TokenHash) -> Option<Session> {
        self.sessions().get(token).filter(|session| Instant::now() < session.until).cloned()
    }

    /// Ends a session. Returns whether there was one.
    pub(super) fn close(&self, token: &TokenHash) -> bool {
        self.sessions().remove(token).is_some()
    }

    /// A JSON Web Token (RFC 7519), signed with HMAC-SHA256.
    fn token(&self, name: &str, now: Duration, number: u128) -> String {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "sub": name,
            "iss": "walhook",
            "iat": now.as_secs(),
            "nbf": now.saturating_sub(EARLIER).as_secs(),
            "exp": (now + LIFETIME).as_secs(),
            // what makes it one of a kind
            "_cacheId": format!("{number:032x}"),
        });
        let signed = format!("{}.{}", part(json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<TokenHash, Session>> {
        // nothing here can be left half done
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    // R-AR-11
    #[test]
    fn a_token_is_a_jwt_of_one_hour_and_known_until_it_is_closed() {
        let sessions = Sessions::new();
        let token = sessions.open("ann", "hash");
        let claims = token.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let second = |name: &str| claims[name].as_u64().unwrap();
        assert_eq!((claims["sub"].as_str(), second("exp") - second("iat")), (Some("ann"), 3600));
        assert_eq!(second("iat") - second("nbf"), 120);
        let hash = TokenHash::of(&token);
        let found = sessions.find(&hash).unwrap();
        assert_eq!((&*found.name, &*found.proof), ("ann", "hash"));
        assert_ne!(sessions.open("ann", "hash"), token);
        assert!(sessions.close(&hash) && !sessions.close(&hash));
        assert_eq!(sessions.find(&hash), None);
    }

    // R-AR-10
    #[test]
    fn a_token_is_good_until_its_hour_is_over() {
        let sessions = Sessions::new();
        let hash = TokenHash::of(&sessions.open("ann", "hash"));
        sessions.sessions().get_mut(&hash).unwrap().until = Instant::now() + Duration::from_secs(60);
        assert!(sessions.find(&hash).is_some());
        sessions.sessions().get_mut(&hash).unwrap().until = Instant::now();
        assert_eq!(sessions.find(&hash), None);
    }

    #[test]
    fn sessions_do_not_grow_without_end() {
        let sessions = Sessions::new();
        let first = TokenHash::of(&sessions.open("first", ""));
        for _ in 0..SESSIONS_MAX {
            sessions.open("ann", "");
        }
        assert_eq!(sessions.sessions().len(), SESSIONS_MAX);
        assert_eq!(sessions.find(&first), None);
    }
}
