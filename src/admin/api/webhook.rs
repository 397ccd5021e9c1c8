//! A webhook in the API: what is sent to register it, and what is shown of it.

use crate::admin::Shown;
use crate::queue::{WebhookStanding, WebhookState};
use crate::registry::{self, Row};
use crate::webhook::Webhook;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A registration. Fields that are left out have the defaults of the configuration.
#[derive(Serialize, ToSchema)]
#[allow(
    dead_code,
    reason = "described; read by the keys of the configuration, which say more of what is wrong"
)]
pub(super) struct WebhookBody {
    /// What people call it; left out, `webhook` and its number.
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    name: Option<String>,
    /// What it is for.
    #[schema(nullable = false)]
    description: Option<String>,
    /// The form it listens to; either this or `forms`, or neither where `events` names them. `*` means all forms.
    #[schema(nullable = false)]
    form: Option<String>,
    /// The forms it listens to, where they are several.
    #[schema(nullable = false)]
    forms: Option<Vec<String>>,
    /// The events it listens to: `create`, `update`, `merge`, `delete`; or pairs with the noun of a form:
    /// `request.create`.
    #[schema(min_items = 1)]
    events: Vec<String>,
    /// A qualification: which of these events it wants.
    #[schema(nullable = false, example = "'Status' = \"New\"")]
    condition: Option<String>,
    /// The fields it wants, by name or number; left out, all.
    #[schema(nullable = false)]
    payload_fields: Option<Vec<String>>,
    /// Whether an update brings all wanted fields or only those that changed, where the format chooses.
    #[schema(nullable = false)]
    send_unchanged_fields: Option<bool>,
    /// An object that is sent along unchanged; at most 64 KiB.
    #[schema(nullable = false, value_type = Option<Object>)]
    custom_json: Option<Value>,
    /// Who gets mail when its deliveries fail; left out, those of `[mail]`.
    #[schema(nullable = false)]
    mail_exceptions_to: Option<Vec<String>>,
    /// Whose changes it does not hear of: `origins`, `actors` and `marks`, each a list of names.
    #[schema(nullable = false, value_type = Option<Object>, example = json!({"marks": ["sync"]}))]
    exclude: Option<Value>,
    /// How its bodies are written, where the format leaves a choice: `record_id` (`create`, `always`, `never`), `selections`
    /// (`stored`, `label`, `both`), `skip_empty_updates`, `attachments_as_references`.
    #[schema(nullable = false, value_type = Option<Object>, example = json!({"selections": "label"}))]
    body: Option<Value>,
    /// What only one product's API knows of it, by product; kept for that one, without effect.
    #[schema(nullable = false, value_type = Option<Object>)]
    product: Option<Value>,
    /// Whether it takes new changes.
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// The format of its bodies.
    #[schema(nullable = false, example = "native")]
    format: Option<String>,
    callback: CallbackBody,
    #[schema(nullable = false)]
    signature: Option<SignatureBody>,
    /// The pauses between attempts.
    #[schema(nullable = false, example = json!(["5s", "30s", "2m"]))]
    schedule: Option<Vec<String>>,
    /// `skip`: the later deliveries of an entry go on after a dead letter; `block`: they wait for its replay or drop.
    #[schema(nullable = false)]
    on_exhausted: Option<String>,
    /// How many attempts may be under way at once.
    #[schema(nullable = false, minimum = 1, maximum = 65536)]
    in_flight_max: Option<u32>,
    /// How many attempts may start in a second.
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000)]
    per_second_max: Option<u32>,
    /// How long an attempt may take.
    #[schema(nullable = false, example = "15s")]
    timeout: Option<String>,
    /// How long what is delivered or dropped stays listed, with bodies.
    #[schema(nullable = false, example = "7d")]
    retention: Option<String>,
    /// How much the bodies that wait for it may take, in bytes.
    #[schema(nullable = false, minimum = 1)]
    backlog_bytes_max: Option<u64>,
}

/// Where deliveries go.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "described")]
struct CallbackBody {
    /// The URL, absolute, http or https, without credentials.
    #[schema(example = "https://receiver.example/hook")]
    url: String,
    /// How walhook authenticates there; secrets are masked when shown, and the mask sent back keeps them.
    #[schema(nullable = false, value_type = Option<Object>, example = json!({"type": "BEARER", "token": "…"}))]
    authentication: Option<Value>,
    /// Certificates of its own, as PEM texts: `authorities`, `certificate`, `key`.
    #[schema(nullable = false)]
    tls: Option<BTreeMap<String, String>>,
    /// Further request headers. Not for secrets: they are shown.
    #[schema(nullable = false)]
    headers: Option<BTreeMap<String, String>>,
    /// The proxy to go through.
    #[schema(nullable = false)]
    proxy: Option<String>,
}

/// How deliveries are signed.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "described")]
struct SignatureBody {
    /// The secrets (`whsec_` and base64), newest first.
    #[schema(min_items = 1)]
    secret: Vec<String>,
}

/// A webhook with what became of it. Beside these it has the fields that it was registered with; secrets are masked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookShown {
    /// Its number.
    pub(super) id: u64,
    /// What people call it.
    name: String,
    /// `table`: registered at run time; `file`: of the configuration file, which alone can change it.
    origin: &'static str,
    /// Counts its versions; none for those of the file.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    status: WebhookStatus,
    /// As it was registered.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    registered: Map<String, Value>,
}

/// What became of a webhook.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookStatus {
    /// `new`: the log has not told of this version yet; `enabled`; `disabled`; `suspended`: its endpoint is gone, or failed
    /// for too long; `broken`: its condition does not fit its form, and events are held; `refused`: what was registered
    /// cannot work, and what worked before stays in force.
    state: &'static str,
    /// Why, or what its endpoint said last.
    last_error: Option<String>,
    /// How many deliveries wait.
    pending: u64,
    /// How many dead letters there are.
    dead: u64,
    /// How many events are held.
    held: u64,
    /// How many were delivered, ever.
    delivered: u64,
    /// How many were dropped, ever.
    dropped: u64,
    /// How many attempts failed in a row.
    failures: u32,
}

impl WebhookStatus {
    fn of(state: &'static str, last_error: Option<String>, book: Option<&WebhookStanding>) -> Self {
        let count = |of: fn(&WebhookStanding) -> u64| book.map_or(0, of);
        Self {
            state,
            last_error,
            pending: count(|book| book.pending),
            dead: count(|book| book.dead),
            held: count(|book| book.held),
            delivered: count(|book| book.delivered),
            dropped: count(|book| book.dropped),
            failures: book.map_or(0, |book| book.failures),
        }
    }
}

/// A registered webhook as it stands in the table.
pub(super) fn describe(shown: &Shown, row: &Row, book: Option<&WebhookStanding>) -> WebhookShown {
    let id = row.id().unwrap_or_default();
    let standing = shown.registrar.registered.find(id).filter(|known| known.row.version() >= row.version());
    let is_suspended = book.is_some_and(|book| book.state == WebhookState::Suspended);
    let (state, error) = match &standing {
        Some(standing) => standing.verdict(
            is_suspended,
            book.and_then(|book| book.broken.clone()),
            book.and_then(|book| book.last_error.clone()),
        ),
        None => ("new", None),
    };
    let mut registered = registry::shown(row);
    registered.retain(|name, _| !matches!(name.as_str(), "id" | "name" | "version"));
    WebhookShown {
        id: id.0,
        name: row.name(),
        origin: "table",
        version: Some(row.version()),
        status: WebhookStatus::of(state, error, book),
        registered,
    }
}

/// A webhook of the file.
pub(super) fn describe_own(webhook: &Webhook, book: Option<&WebhookStanding>) -> WebhookShown {
    let broken = book.and_then(|book| book.broken.clone());
    let last_error = book.and_then(|book| book.last_error.clone());
    let (state, error) = match book.map(|book| book.state) {
        None => ("new", None),
        Some(WebhookState::Disabled) => ("disabled", last_error),
        Some(WebhookState::Suspended) => ("suspended", last_error),
        Some(WebhookState::Orphaned) => ("orphaned", last_error),
        Some(WebhookState::Enabled) if broken.is_some() => ("broken", broken),
        Some(WebhookState::Enabled) => ("enabled", last_error),
    };
    WebhookShown {
        id: webhook.id.0,
        name: webhook.name.clone(),
        origin: "file",
        version: None,
        status: WebhookStatus::of(state, error, book),
        registered: registry::described(webhook),
    }
}
