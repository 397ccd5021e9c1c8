//! Who is it? HTTP Basic for users, Bearer for tokens, `AR-JWT` for sessions, with wrong ones slowed down.

use super::accounts::{Access, Account};
use super::attempts::Attempts;
use super::hashes::TokenHash;
use super::sessions::Sessions;
use crate::observe::{Observation, Observers};
use crate::secret::Secret;
use aws_lc_rs::hmac;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// How many passwords are looked at side by side: each takes a processor for a while, and much memory.
const AT_ONCE_MAX: usize = 2;

/// How long a login waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(5);

/// For how long a password that was right is known again without its costly hash.
const RECENT: Duration = Duration::from_secs(5 * 60);

/// How many of these are kept.
const RECENT_MAX: usize = 1024;

/// A longer header names nobody.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request says nothing of who asks.
    Missing,
    /// What it says cannot be read.
    Malformed,
    /// The password or token is wrong.
    Wrong,
    /// After so many wrong ones nothing is looked at for so long.
    TooOften(Duration),
}

/// What a request says of who asks.
enum Credentials {
    User { name: String, password: Secret },
    Token(TokenHash),
    Session(TokenHash),
}

/// All that is known of those who logged in, or tried to.
pub(super) struct Logins {
    access: watch::Receiver<Arc<Access>>,
    attempts: Mutex<Attempts>,
    /// Passwords that were right, as hashes under a key that this process alone knows, and until when.
    recent: Mutex<HashMap<[u8; 32], Instant>>,
    key: hmac::Key,
    turns: Arc<Semaphore>,
    sessions: Sessions,
    observers: Observers,
}

impl Logins {
    pub(super) fn new(access: watch::Receiver<Arc<Access>>, observers: Observers) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new());
        Self {
            access,
            attempts: Mutex::default(),
            recent: Mutex::default(),
            key: key.expect("the system has random numbers"),
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            sessions: Sessions::new(),
            observers,
        }
    }

    /// Whether somebody is configured at all.
    pub(super) fn are_needed(&self) -> bool {
        !self.access.borrow().accounts.is_empty()
    }

    /// Whether the listener speaks TLS.
    pub(super) fn is_private(&self) -> bool {
        self.access.borrow().tls.is_some()
    }

    /// Who asks.
    pub(super) async fn account(
        self: &Arc<Self>,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<Account, Refusal> {
        match credentials(headers)? {
            Credentials::Token(brought) => self.token(&brought, peer),
            Credentials::User { name, password } => self.user(name, password, peer).await,
            Credentials::Session(brought) => self.session(&brought, peer),
        }
    }

    /// Opens a session for a user; returns its token.
    pub(super) async fn open(
        self: &Arc<Self>,
        name: &str,
        password: Secret,
        peer: IpAddr,
    ) -> Result<String, Refusal> {
        let account = self.user(name.to_owned(), password, peer).await?;
        let proof = self.proof(&account.name).ok_or(Refusal::Wrong)?;
        Ok(self.sessions.open(&account.name, &proof))
    }

    /// Opens a session where nobody is configured.
    pub(super) fn open_for_nobody(&self, name: &str) -> String {
        self.sessions.open(name, "")
    }

    /// Ends the session that a request names. Returns whether there was one.
    pub(super) fn close(&self, headers: &HeaderMap) -> bool {
        match credentials(headers) {
            Ok(Credentials::Session(token)) => self.sessions.close(&token),
            _ => false,
        }
    }

    /// A session is as good as the account that it was opened for: a new password, or another role, counts at once.
    fn session(&self, brought: &TokenHash, peer: IpAddr) -> Result<Account, Refusal> {
        let session = self.sessions.find(brought);
        let session = session.filter(|session| self.proof(&session.name).as_ref() == Some(&session.proof));
        let access = Arc::clone(&self.access.borrow());
        if let Some(user) = session.and_then(|session| access.accounts.user(&session.name)) {
            return Ok(Account { name: user.name.clone(), role: user.role });
        }
        self.unknown(peer)
    }

    fn proof(&self, name: &str) -> Option<String> {
        self.access.borrow().accounts.user(name).map(|user| user.password.expose().to_owned())
    }

    /// A token that is right is let in at all times: nobody guesses one, and who shares an address with a guesser is
    /// not to suffer for it.
    fn token(&self, brought: &TokenHash, peer: IpAddr) -> Result<Account, Refusal> {
        let access = Arc::clone(&self.access.borrow());
        if let Some(token) = access.accounts.token(brought) {
            return Ok(Account { name: token.name.clone(), role: token.role });
        }
        self.unknown(peer)
    }

    /// A token that nobody has.
    fn unknown(&self, peer: IpAddr) -> Result<Account, Refusal> {
        let now = Instant::now();
        if let Some(wait) = self.attempts().wait(None, peer, now) {
            return Err(Refusal::TooOften(wait));
        }
        self.attempts().failed(None, peer, now);
        self.observers.tell(Observation::LoginRefused { account: None, peer: peer.to_string() });
        Err(Refusal::Wrong)
    }

    async fn user(
        self: &Arc<Self>,
        name: String,
        password: Secret,
        peer: IpAddr,
    ) -> Result<Account, Refusal> {
        let access = Arc::clone(&self.access.borrow());
        let user = access.accounts.user(&name);
        let right = user.map(|user| (self.seal(&name, &password, user.password.expose()), user));
        let known = || {
            let (seal, user) = right.as_ref()?;
            self.is_recent(seal).then(|| Account { name: name.clone(), role: user.role })
        };
        let wait = || self.attempts().wait(Some(&name), peer, Instant::now());
        if let Some(account) = known() {
            return Ok(account);
        }
        if let Some(wait) = wait() {
            return Err(Refusal::TooOften(wait));
        }
        let turn = tokio::time::timeout(TURN_MAX, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refusal::TooOften(TURN_MAX)) };
        // meanwhile the same password may have been found right, or others wrong
        if let Some(account) = known() {
            return Ok(account);
        }
        if let Some(wait) = wait() {
            return Err(Refusal::TooOften(wait));
        }
        // a name that nobody has takes the time of one that somebody has
        let Some(hash) = user.or(access.accounts.users.first()).map(|user| user.password.clone()) else {
            self.refused(&name, false, peer);
            return Err(Refusal::Wrong);
        };
        let (seal, role) = right.as_ref().map_or((None, None), |(seal, user)| (Some(*seal), Some(user.role)));
        let this = Arc::clone(self);
        let account_name = name.clone();
        // it comes to its end, and is counted, though the client hangs up
        let verified = tokio::task::spawn_blocking(move || {
            let right = hash.verifies(&password) && seal.is_some();
            match seal.filter(|_| right) {
                Some(seal) => this.accepted(seal, &account_name, peer),
                None => this.refused(&account_name, seal.is_some(), peer),
            }
            drop(turn);
            right
        });
        match (verified.await, role) {
            (Ok(true), Some(role)) => Ok(Account { name, role }),
            _ => Err(Refusal::Wrong),
        }
    }

    fn accepted(&self, seal: [u8; 32], name: &str, peer: IpAddr) {
        let now = Instant::now();
        self.attempts().succeeded(name, peer, now);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT_MAX {
            recent.retain(|_, until| *until > now);
        }
        if recent.len() >= RECENT_MAX {
            recent.clear();
        }
        recent.insert(seal, now + RECENT);
    }

    /// A name that nobody has is not told: some write their password there.
    fn refused(&self, name: &str, exists: bool, peer: IpAddr) {
        self.attempts().failed(Some(name), peer, Instant::now());
        let account = exists.then(|| name.to_owned());
        self.observers.tell(Observation::LoginRefused { account, peer: peer.to_string() });
    }

    fn is_recent(&self, seal: &[u8; 32]) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(seal).is_some_and(|until| Instant::now() < *until)
    }

    /// Stands for a name with its password, and for the hash in the configuration: a new one makes it void.
    fn seal(&self, name: &str, password: &Secret, hash: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name, hash, password.expose()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut seal = [0; 32];
        seal.copy_from_slice(context.sign().as_ref());
        seal
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(headers: &HeaderMap) -> Result<Credentials, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() || value.len() > HEADER_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    read(value).ok_or(Refusal::Malformed)
}

fn read(value: &HeaderValue) -> Option<Credentials> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!rest.is_empty()).then(|| Credentials::Token(TokenHash::of(rest)));
    }
    if scheme.eq_ignore_ascii_case("ar-jwt") {
        return (!rest.is_empty()).then(|| Credentials::Session(TokenHash::of(rest)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Secret::from(String::from_utf8(STANDARD.decode(rest).ok()?).ok()?);
    let (name, password) = decoded.expose().split_once(':')?;
    if password.is_empty() {
        // an empty password is nobody's: some programs bring a token as the name
        return (!name.is_empty()).then(|| Credentials::Token(TokenHash::of(name)));
    }
    Some(Credentials::User { name: name.to_owned(), password: Secret::from(password) })
}

#[cfg(test)]
mod tests {
    use super::super::accounts::{Accounts, Role, Token, User};
    use super::super::hashes::PasswordHash;
    use super::*;
    use crate::observe::Observer;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Observer for Heard {
        fn observe(&self, observation: &Observation) {
            self.0.lock().unwrap().push(format!("{observation:?}"));
        }
    }

    fn access(password: &str) -> Arc<Access> {
        let user = |name: &str, role| User {
            name: name.to_owned(),
            password: PasswordHash::of(&Secret::from(password)).unwrap(),
            role,
        };
        let token = Token { name: "ci".into(), hash: TokenHash::of("wht_right"), role: Role::Viewer };
        let accounts = Accounts {
            users: vec![user("ann", Role::Admin), user("bob", Role::Viewer)],
            tokens: vec![token],
        };
        Arc::new(Access { accounts, tls: None })
    }

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap())])
    }

    fn basic(name: &str, password: &str) -> HeaderMap {
        with(&format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
    }

    fn logins(password: &str) -> (Arc<Logins>, watch::Sender<Arc<Access>>, Arc<Heard>) {
        let (sender, receiver) = watch::channel(access(password));
        let heard = Arc::new(Heard::default());
        let logins = Logins::new(receiver, Observers::new(vec![Arc::clone(&heard) as _]));
        (Arc::new(logins), sender, heard)
    }

    #[tokio::test]
    async fn users_and_tokens_are_told_apart_and_have_their_roles() {
        let (logins, _access, _) = logins("geheim:er");
        let account = async |headers: HeaderMap| logins.account(&headers, PEER).await;
        let ann = Account { name: "ann".into(), role: Role::Admin };
        assert_eq!(account(basic("ann", "geheim:er")).await, Ok(ann));
        let ci = Account { name: "ci".into(), role: Role::Viewer };
        assert_eq!(account(with("Bearer wht_right")).await, Ok(ci.clone()));
        assert_eq!(account(with("bearer  wht_right ")).await, Ok(ci));
        assert_eq!(
            account(basic("wht_right", "")).await,
            Ok(Account { name: "ci".into(), role: Role::Viewer })
        );
        assert_eq!(account(with("Bearer wht_wrong")).await, Err(Refusal::Wrong));
        assert_eq!(account(basic("ann", "geheim")).await, Err(Refusal::Wrong));
        assert_eq!(account(basic("eve", "geheim:er")).await, Err(Refusal::Wrong), "nobody has that name");
        assert_eq!(account(basic("ci", "wht_right")).await, Err(Refusal::Wrong), "a token is no password");
        assert_eq!(account(HeaderMap::new()).await, Err(Refusal::Missing));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_nobody() {
        let (logins, _access, heard) = logins("geheim");
        let long = format!("Bearer {}", "x".repeat(HEADER_BYTES_MAX));
        for wrong in [
            "Basic",
            "Basic ",
            "Basic !!!",
            "Basic YW5u",
            "Basic /w==",
            "Bearer ",
            "Digest a=b",
            "",
            "wht_right",
            "Bearer \u{fc}",
            &long,
        ] {
            let answer = logins.account(&with(wrong), PEER).await;
            assert_eq!(answer, Err(Refusal::Malformed), "{wrong}");
        }
        let mut twice = with("Bearer wht_right");
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer wht_wrong"));
        assert_eq!(logins.account(&twice, PEER).await, Err(Refusal::Malformed));
        assert!(heard.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_password_that_was_right_is_known_again_until_it_is_changed() {
        let (logins, access, _) = logins("geheim");
        let right = basic("ann", "geheim");
        assert!(logins.account(&right, PEER).await.is_ok());
        assert_eq!(logins.recent.lock().unwrap().len(), 1);
        // no turn is left for the costly way: what is let in now was known again
        let turns = Arc::clone(&logins.turns).acquire_many_owned(AT_ONCE_MAX as u32).await.unwrap();
        assert!(logins.account(&right, PEER).await.is_ok());
        // it is the account's, whatever others got wrong
        for _ in 0..20 {
            logins.attempts().failed(Some("ann"), PEER, Instant::now());
        }
        assert!(logins.account(&right, PEER).await.is_ok());
        drop(turns);
        access.send_replace(super::tests::access("another"));
        assert!(matches!(logins.account(&right, PEER).await, Err(Refusal::TooOften(_))));
    }

    #[tokio::test]
    async fn wrong_ones_are_slowed_down_and_told_without_what_was_typed() {
        let (logins, _access, heard) = logins("geheim");
        for _ in 0..4 {
            assert_eq!(logins.account(&basic("ann", "hunter2"), PEER).await, Err(Refusal::Wrong));
        }
        let slowed = logins.account(&basic("ann", "geheim"), PEER).await;
        assert!(
            matches!(slowed, Err(Refusal::TooOften(wait)) if wait <= Duration::from_secs(1)),
            "{slowed:?}"
        );
        assert_eq!(logins.account(&basic("hunter2", "x"), PEER).await, Err(Refusal::Wrong));
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.len(), 5, "{heard:?}");
        assert_eq!(heard[0], "LoginRefused { account: Some(\"ann\"), peer: \"192.0.2.7\" }");
        assert_eq!(heard[4], "LoginRefused { account: None, peer: \"192.0.2.7\" }");
    }

    #[tokio::test]
    async fn many_at_once_do_not_get_more_tries_than_one_after_the_other() {
        let (logins, _access, heard) = logins("geheim");
        let wrong = basic("ann", "hunter2");
        let tries = (0..40).map(|_| logins.account(&wrong, PEER));
        let answers = futures_util::future::join_all(tries).await;
        let looked_at = answers.iter().filter(|answer| **answer == Err(Refusal::Wrong)).count();
        assert!((4..=5).contains(&looked_at), "{looked_at}");
        assert_eq!(heard.0.lock().unwrap().len(), looked_at);
    }

    #[tokio::test]
    async fn who_hangs_up_is_counted_all_the_same() {
        let (logins, _access, heard) = logins("geheim");
        let wrong = basic("ann", "hunter2");
        let mut asked = Box::pin(logins.account(&wrong, PEER));
        assert!(futures_util::poll!(&mut asked).is_pending());
        drop(asked);
        // whoever gets all turns comes after it
        drop(logins.turns.acquire_many(AT_ONCE_MAX as u32).await.unwrap());
        assert_eq!(heard.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_right_token_is_let_in_beside_a_guesser() {
        let (logins, _access, _) = logins("geheim");
        for _ in 0..11 {
            assert_eq!(logins.account(&with("Bearer wht_wrong"), PEER).await, Err(Refusal::Wrong));
        }
        let slowed = logins.account(&with("Bearer wht_wrong"), PEER).await;
        assert!(matches!(slowed, Err(Refusal::TooOften(_))));
        assert!(logins.account(&with("Bearer wht_right"), PEER).await.is_ok());
    }
}
