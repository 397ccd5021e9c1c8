//! Mail about webhooks that were suspended or cannot be judged, through an SMTP relay; about deliveries that fail, too,
//! where a webhook names those who want to know, or its product tells administrators of them.
//!
//! [`Mail`] listens and never blocks; [`Carrier`] sends, in a task of its own. For each webhook there is at most one
//! mail of a kind in a period: what comes in between is told by the next one. While the relay is away, mails wait.

use super::spaced::Spaced;
use crate::delivery::Settlement;
use crate::observe::{Observation, Observer, Observers};
use crate::secret::Secret;
use futures_util::future::BoxFuture;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What is observed while the carrier is busy; more than that is left out.
const NEWS_MAX: usize = 1024;
/// How many webhooks may have a mail waiting.
const WAITING_MAX: usize = 10_000;
/// How long a relay may take for a mail.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to say that it is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after a mail that the relay did not take; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// What is older than this is no news.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// How the connection to the relay is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Begun in the open, and refused where the relay knows no STARTTLS.
    StartTls,
    /// TLS from the first byte on.
    Tls,
    /// Nothing: for a relay on the same machine.
    None,
}

/// Where mail goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The relay's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept private.
    pub privacy: Privacy,
    /// User and password, where the relay wants them.
    pub login: Option<(String, Secret)>,
    /// The sender.
    pub from: Mailbox,
    /// Who gets the mails.
    pub to: Vec<Mailbox>,
    /// At most one mail per webhook in this time.
    pub every: Duration,
}

/// What a mail has to know of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its number.
    pub number: u64,
    /// How many of its deliveries are not finished.
    pub pending: u64,
    /// Who gets its mails; nobody means those of the settings.
    pub to: Vec<String>,
    /// Whether deliveries that fail are worth a mail.
    pub tells_failures: bool,
}

/// Finds a webhook by its name.
pub type Lookup = Box<dyn Fn(String) -> BoxFuture<'static, Option<Subject>> + Send + Sync>;

#[derive(Clone, Debug)]
struct News {
    webhook: String,
    what: &'static str,
    /// What to do, and the command for it.
    remedy: (&'static str, &'static str),
    reason: String,
    /// How often it happened before without a word.
    left_out: u64,
    /// Whether it is about a delivery that failed, which is not told of every webhook.
    is_failure: bool,
    at: jiff::Timestamp,
}

/// A mail of this kind is one of its own, whatever others there were about the webhook.
type Kind = (String, &'static str);

/// Listens for what is worth a mail.
#[derive(Debug)]
pub struct Mail {
    news: mpsc::Sender<News>,
    /// Attempts may fail thousands of times in a second.
    failures: Spaced,
}

/// Begins: who listens, and what the carrier needs.
pub fn begin() -> (Mail, Post) {
    let (sender, receiver) = mpsc::channel(NEWS_MAX);
    (Mail { news: sender, failures: Spaced::default() }, Post(receiver))
}

/// What was observed and not carried yet.
#[derive(Debug)]
pub struct Post(mpsc::Receiver<News>);

impl Observer for Mail {
    fn observe(&self, observation: &Observation) {
        let news = |webhook: &str, reason: String, what, remedy| News {
            webhook: webhook.to_owned(),
            what,
            remedy,
            reason,
            left_out: 0,
            is_failure: false,
            at: jiff::Timestamp::now(),
        };
        let news = match observation {
            Observation::WebhookSuspended { webhook, reason } => {
                let remedy = ("To go on, once the endpoint is well again", "enable");
                news(webhook, reason.clone(), "was suspended", remedy)
            }
            Observation::WebhookBroken { webhook, reason } => {
                let remedy =
                    ("It goes on by itself once its condition fits its form again; what fits now", "show");
                news(webhook, reason.clone(), "cannot be judged", remedy)
            }
            Observation::Attempted { webhook, number, attempt, outcome, settlement, .. }
                if *settlement != Settlement::Delivered =>
            {
                let Some(left_out) = self.failures.says(webhook, std::time::Instant::now()) else { return };
                let reason = format!("{outcome} (delivery {number}, attempt {attempt})");
                let remedy = ("What is tried again by itself, and what is not", "show");
                News { left_out, is_failure: true, ..news(webhook, reason, "could not deliver", remedy) }
            }
            _ => return,
        };
        // where the carrier is that far behind, there are mails enough
        let _ = self.news.try_send(news);
    }
}

/// Sends mails.
pub struct Carrier {
    settings: Settings,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    lookup: Lookup,
    observers: Observers,
    waiting: BTreeMap<Kind, Waiting>,
    pause: Duration,
    rest_until: Instant,
}

struct Waiting {
    news: Option<News>,
    since: Instant,
    held_back: u64,
    /// Nothing is sent before.
    not_before: Instant,
}

/// Why a relay cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It refuses, or cannot be reached.
    #[error("the mail relay {host}:{port} cannot be used")]
    Refused {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        #[source]
        source: lettre::transport::smtp::Error,
    },
    /// It says nothing.
    #[error("the mail relay {host}:{port} did not answer within {} s", within.as_secs())]
    Silent {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// How long it was waited for.
        within: Duration,
    },
}

impl Settings {
    fn error(&self, source: lettre::transport::smtp::Error) -> Error {
        Error::Refused { host: self.host.clone(), port: self.port, source }
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, Error> {
        let parameters = || TlsParameters::new(self.host.clone()).map_err(|error| self.error(error));
        let tls = match self.privacy {
            Privacy::StartTls => Tls::Required(parameters()?),
            Privacy::Tls => Tls::Wrapper(parameters()?),
            Privacy::None => Tls::None,
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        Ok(match &self.login {
            Some((user, password)) => {
                builder.credentials(Credentials::new(user.clone(), password.expose().to_owned())).build()
            }
            None => builder.build(),
        })
    }

    /// Whether the relay answers and lets us in. Nothing is sent.
    pub async fn probe(&self) -> Result<(), Error> {
        let transport = self.transport()?;
        self.answer(PROBE_TIMEOUT, transport.test_connection()).await.map(drop)
    }

    /// What the relay answers. The library's own time limit does not hold for every wait.
    async fn answer<T>(
        &self,
        within: Duration,
        answer: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(within, answer).await {
            Ok(answer) => answer.map_err(|error| self.error(error)),
            Err(_) => Err(Error::Silent { host: self.host.clone(), port: self.port, within }),
        }
    }
}

impl Carrier {
    /// Ready to send.
    pub fn new(settings: Settings, lookup: Lookup, observers: Observers) -> Result<Self, Error> {
        let transport = settings.transport()?;
        let waiting = BTreeMap::new();
        let rest_until = Instant::now();
        Ok(Self { settings, transport, lookup, observers, waiting, pause: FIRST_PAUSE, rest_until })
    }

    /// Sends until the shutdown.
    pub async fn run(mut self, mut post: Post, shutdown: CancellationToken) {
        loop {
            let due = self.due();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                Some(news) = post.0.recv() => {
                    self.take(news);
                    continue;
                }
                () = timer => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.send_next() => {}
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let due = self.waiting.values().filter(|waiting| waiting.news.is_some());
        due.map(|waiting| waiting.not_before.max(self.rest_until)).min()
    }

    fn take(&mut self, news: News) {
        let now = Instant::now();
        self.waiting.retain(|_, waiting| waiting.news.is_some() || waiting.not_before > now);
        let kind = (news.webhook.clone(), news.what);
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&kind) {
            return;
        }
        let fresh = Waiting { news: None, since: now, held_back: 0, not_before: now };
        let waiting = self.waiting.entry(kind).or_insert(fresh);
        waiting.held_back += news.left_out;
        match waiting.news.replace(news) {
            Some(_) => waiting.held_back += 1,
            None => waiting.since = now,
        }
    }

    async fn send_next(&mut self) {
        let now = Instant::now();
        let due = self.waiting.values_mut().filter(|waiting| waiting.news.is_some());
        let Some(waiting) = due.min_by_key(|waiting| waiting.not_before) else { return };
        let Some(news) = waiting.news.clone() else { return };
        let (held_back, since) = (waiting.held_back, waiting.since);
        let subject = (self.lookup)(news.webhook.clone()).await;
        if news.is_failure && !subject.as_ref().is_some_and(|subject| subject.tells_failures) {
            self.waiting.remove(&(news.webhook, news.what));
            return;
        }
        let error = match message(&self.settings, &news, held_back, subject.as_ref()) {
            Ok(message) => {
                let answer = self.settings.answer(TIMEOUT, self.transport.send(message)).await;
                answer.err().map(|error| told(&error))
            }
            Err(error) => Some(told(&error)),
        };
        let Some(waiting) = self.waiting.get_mut(&(news.webhook.clone(), news.what)) else { return };
        let given_up = error.is_some() && now.saturating_duration_since(since) > AGE_MAX;
        if error.is_none() || given_up {
            waiting.news = None;
            waiting.held_back = 0;
            waiting.not_before = Instant::now() + self.settings.every;
        }
        match error {
            None => self.pause = FIRST_PAUSE,
            Some(error) => {
                self.rest_until = Instant::now() + self.pause;
                let retry_in = self.pause;
                self.pause = (2 * self.pause).min(LONGEST_PAUSE);
                self.observers.tell(Observation::MailFailed {
                    webhook: news.webhook,
                    error,
                    retry_in: (!given_up).then_some(retry_in),
                });
            }
        }
    }
}

/// An error with its causes in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Names become a part of a header: one line, whatever is in them.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn message(
    settings: &Settings,
    news: &News,
    held_back: u64,
    subject: Option<&Subject>,
) -> Result<Message, lettre::error::Error> {
    let (name, reason) = (one_line(&news.webhook), one_line(&news.reason));
    let mut text =
        format!("The webhook \"{name}\" {}.\n\nReason: {reason}\nSince:  {:.0}\n", news.what, news.at);
    let mut id = String::from("NUMBER");
    if let Some(Subject { number, pending, .. }) = subject {
        id = number.to_string();
        let _ = writeln!(text, "Number: {number}\nWaiting deliveries: {pending}");
    }
    let _ = write!(
        text,
        "\nNothing is lost: what happens meanwhile waits in the queue. {}:\n\n    walhook webhooks {} {id}\n",
        news.remedy.0, news.remedy.1
    );
    if held_back > 0 {
        let _ =
            write!(text, "\nThis happened {held_back} more times since the last mail about this webhook.\n");
    }
    let own = subject.iter().flat_map(|subject| &subject.to);
    let own: Vec<Mailbox> = own.filter_map(|address| address.parse().ok()).collect();
    let to = if own.is_empty() { settings.to.clone() } else { own }.into_iter();
    let builder = Message::builder().from(settings.from.clone()).date_now().message_id(None);
    to.fold(builder, lettre::message::MessageBuilder::to)
        .subject(format!("walhook: webhook \"{name}\" {}", news.what))
        .header(ContentType::TEXT_PLAIN)
        .body(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_add_headers_or_lines() {
        let settings = Settings {
            host: "127.0.0.1".into(),
            port: 25,
            privacy: Privacy::None,
            login: None,
            from: "walhook@example.org".parse().unwrap(),
            to: vec!["ops@example.org".parse().unwrap()],
            every: Duration::from_secs(1200),
        };
        let news = News {
            webhook: "a\r\nBcc: eve@example.org\r\n\r\nb".into(),
            what: "was suspended",
            remedy: ("To go on", "enable"),
            reason: "410\n.\nQUIT".into(),
            left_out: 0,
            is_failure: false,
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let subject = Subject { number: 7, pending: 12, to: vec![], tells_failures: false };
        let mail = message(&settings, &news, 3, Some(&subject)).unwrap().formatted();
        let mail = String::from_utf8(mail).unwrap();
        assert!(
            !mail.lines().any(|line| line.starts_with("Bcc:") || line == "." || line == "QUIT"),
            "{mail}"
        );
        for part in ["walhook webhooks enable 7", "Waiting deliveries: 12", "3 more times"] {
            assert!(mail.contains(part), "{part} in {mail}");
        }
    }
}
