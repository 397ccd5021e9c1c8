//! Webhooks: who wants to hear of what, and where.

use crate::event::{FormEvent, Verb};
use crate::policy::Policy;
use crate::proxy::Proxy;
use crate::qualification::Qualification;
use crate::retry::Schedule;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// A webhook's number; it names the webhook for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookId(pub u64);

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who registered a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The operator, in the configuration file.
    #[default]
    File,
    /// Somebody who may register webhooks while walhook runs: by the registration table or an API.
    Table,
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its number.
    pub id: WebhookId,
    /// Who registered it.
    pub origin: Origin,
    /// Its name, unique in the configuration file.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it listens to, each form once.
    pub listens: Vec<Listening>,
    /// Which of these events it wants; none means all.
    pub condition: Option<Arc<Qualification>>,
    /// The fields it wants, by name or number; empty means all.
    pub payload_fields: Vec<String>,
    /// Whether an update brings all wanted fields or only those that changed (where the format chooses).
    pub send_unchanged_fields: bool,
    /// A JSON object that is sent along unchanged.
    pub custom_json: Option<String>,
    /// Whose changes it does not hear of.
    pub exclude: Exclude,
    /// How its bodies are written, where the format leaves a choice.
    pub body: BodyChoices,
    /// Whose site this is, for formats that say it.
    pub account: Option<Arc<Account>>,
    /// Who gets mail when its deliveries fail; nobody means those whom the operator named for all.
    pub mail_exceptions_to: Vec<String>,
    /// Whether it takes new changes.
    pub enabled: bool,
    /// The name of the format of its bodies.
    pub format: &'static str,
    /// Where its deliveries go.
    pub callback: Callback,
    /// The secrets of its signatures, newest first; none means unsigned.
    pub signing_secrets: Vec<Secret>,
    /// What its messages are signed by as a whole; none means that they are sent as they are.
    pub policy: Option<Policy>,
    /// How it is sent to.
    pub sending: Sending,
    /// How long its finished deliveries are kept; none means as long as those of all.
    pub retention: Option<Duration>,
}

impl Webhook {
    /// Whether it listens to events of a verb on a form.
    pub fn listens_to(&self, form: &str, verb: Verb) -> bool {
        self.verbs_on(form).contains(&verb)
    }

    /// The names of the forms it listens to.
    pub fn forms(&self) -> impl Iterator<Item = &str> {
        self.listens.iter().map(|one| one.form.as_str())
    }

    /// Its events as they can be registered: the verbs, where they are the same on all its forms, or else pairs with the
    /// forms' nouns.
    pub fn events(&self) -> Events {
        match self.listens.split_first() {
            Some((first, rest)) if rest.iter().any(|one| one.verbs != first.verbs) => {
                let pairs = self
                    .listens
                    .iter()
                    .flat_map(|one| one.verbs.iter().map(move |verb| format!("{}.{verb}", one.noun)));
                Events::Pairs(pairs.collect())
            }
            Some((first, _)) => Events::Alike(first.verbs.clone()),
            None => Events::Alike(Vec::new()),
        }
    }

    /// The verbs that it listens to on a form; none where it does not listen to it.
    pub fn verbs_on(&self, form: &str) -> &[Verb] {
        self.listens.iter().find(|one| one.form == form).map_or(&[], |one| &one.verbs)
    }
}

/// Whose site this is: ITRP and its heirs say it in every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's id: `widget`.
    pub id: String,
    /// Where its site is.
    pub url: Option<String>,
}

/// Whose changes a webhook does not hear of: so two systems that tell each other do not echo for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exclude {
    /// Replication origins.
    pub origins: Vec<String>,
    /// Those who made the changes.
    pub actors: Vec<String>,
    /// What sessions were marked with.
    pub marks: Vec<String>,
}

impl Exclude {
    /// Whether an event is one of those.
    pub fn excludes(&self, event: &FormEvent) -> bool {
        let is_one =
            |names: &[String], name: &Option<String>| name.as_ref().is_some_and(|name| names.contains(name));
        is_one(&self.origins, &event.transaction.origin)
            || is_one(&self.actors, &event.circumstances.actor)
            || event.circumstances.marks.iter().any(|mark| self.marks.contains(mark))
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How bodies are written, where their format leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyChoices {
    /// Which events bring the record id, in formats that have one.
    pub record_id: RecordIdWith,
    /// How values of selections are written.
    pub selections: Selections,
    /// Whether an update that brings no field is no delivery.
    pub skip_empty_updates: bool,
    /// Whether attachments are sent as links, in formats that have attachments.
    pub attachments_as_references: bool,
}

/// Which events bring the record id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordIdWith {
    /// Those of the format's product: in `arsys` creates, in `native` all.
    #[default]
    Usual,
    /// Creates only.
    Create,
    /// All but deletes in formats whose deletes have ids only.
    Always,
    /// None.
    Never,
}

/// How values of selections are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selections {
    /// As they stand in the column: `0`.
    #[default]
    Stored,
    /// As people read them: `"New"`.
    Label,
    /// Both: `{"value": 0, "label": "New"}`.
    Both,
}

/// The events of a webhook, as they can be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Events {
    /// The same on all its forms.
    Alike(Vec<Verb>),
    /// With the form's noun each: `request.create`.
    Pairs(Vec<String>),
}

/// What a webhook listens to on one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The form's name.
    pub form: String,
    /// The form's noun, as in `request.create`.
    pub noun: String,
    /// The events, in the verbs' own order.
    pub verbs: Vec<Verb>,
}

impl Listening {
    /// Listening to these events on a form.
    pub fn to(form: &str, noun: &str, verbs: &[Verb]) -> Self {
        Self { form: form.to_owned(), noun: noun.to_owned(), verbs: verbs.to_vec() }
    }
}

/// Where deliveries go and how they authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The URL, absolute, http or https.
    pub url: Url,
    /// The authentication.
    pub authentication: Authentication,
    /// Further request headers, by name. They are shown: what is secret belongs into the authentication.
    pub headers: BTreeMap<String, String>,
    /// What requests go out by; none means directly.
    pub proxy: Option<Proxy>,
    /// Certificates of its own; none means those of the system, and none of ours.
    pub tls: Option<CallbackTls>,
}

/// The certificates between us and an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackTls {
    /// The authorities that are trusted, instead of the system's.
    pub authorities: Option<Pem>,
    /// Our certificate, with its chain, and its key.
    pub client: Option<(Pem, Pem)>,
}

/// Certificates or a private key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// A file of the operator's. It is read whenever a connection is made, so that a renewed one is used without a word.
    File(PathBuf),
    /// The text itself. Whoever registers webhooks at run time gives nothing else: a path would let them look into
    /// files of this machine.
    Text(Secret),
}

impl fmt::Display for Pem {
    /// As errors name it: `file us.pem`, `text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Text(_) => f.write_str("text"),
        }
    }
}

/// Credentials for an endpoint, as the scheme of that name reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The scheme's name: `NO_AUTH`, `BASIC`, `BEARER`, `HEADERS`.
    pub scheme: &'static str,
    /// The scheme's settings.
    pub settings: BTreeMap<String, Secret>,
}

/// How a webhook is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// When a delivery that failed is tried again.
    pub schedule: Schedule,
    /// What a dead letter means for the later deliveries of its entry.
    pub on_exhausted: OnExhausted,
    /// How many attempts may be under way at once.
    pub in_flight_max: usize,
    /// How many attempts may start in a second; none means no limit.
    pub per_second_max: Option<u32>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How much the bodies that wait for this webhook may take; beyond it they become a dead range.
    pub backlog_bytes_max: u64,
}

/// What a dead letter means for the later deliveries of its entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExhausted {
    /// They go on.
    #[default]
    Skip,
    /// They wait until it is replayed or dropped.
    Block,
}

/// The webhooks as registered now. A new version replaces the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhooks(BTreeMap<WebhookId, Arc<Webhook>>);

impl Webhooks {
    /// The webhook of that number.
    pub fn find(&self, id: WebhookId) -> Option<&Arc<Webhook>> {
        self.0.get(&id)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.0.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Webhook> for Webhooks {
    fn from_iter<I: IntoIterator<Item = Webhook>>(webhooks: I) -> Self {
        Self(webhooks.into_iter().map(|webhook| (webhook.id, Arc::new(webhook))).collect())
    }
}

impl FromIterator<Arc<Webhook>> for Webhooks {
    fn from_iter<I: IntoIterator<Item = Arc<Webhook>>>(webhooks: I) -> Self {
        Self(webhooks.into_iter().map(|webhook| (webhook.id, webhook)).collect())
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::{
        Authentication, BodyChoices, Callback, Exclude, Listening, OnExhausted, Origin, Sending, Webhook,
        WebhookId,
    };
    use crate::event::Verb;
    use crate::retry::Schedule;
    use std::collections::BTreeMap;
    use std::time::Duration;

    /// A webhook that wants every event of `HPD:Help Desk`.
    pub(crate) fn webhook(id: u64) -> Webhook {
        let authentication = Authentication { scheme: "NO_AUTH", settings: BTreeMap::new() };
        Webhook {
            id: WebhookId(id),
            origin: Origin::File,
            name: format!("hook {id}"),
            description: None,
            listens: vec![Listening::to("HPD:Help Desk", "request", &Verb::OF_ROWS)],
            condition: None,
            payload_fields: vec![],
            send_unchanged_fields: false,
            custom_json: None,
            mail_exceptions_to: vec![],
            exclude: Exclude::default(),
            body: BodyChoices::default(),
            account: None,
            enabled: true,
            format: "native",
            callback: Callback {
                url: "http://receiver.example/hook".parse().unwrap(),
                authentication,
                headers: BTreeMap::new(),
                proxy: None,
                tls: None,
            },
            signing_secrets: vec![],
            policy: None,
            retention: None,
            sending: Sending {
                schedule: Schedule::default(),
                on_exhausted: OnExhausted::Skip,
                in_flight_max: 16,
                per_second_max: None,
                timeout: Duration::from_secs(15),
                backlog_bytes_max: 1 << 30,
            },
        }
    }
}
