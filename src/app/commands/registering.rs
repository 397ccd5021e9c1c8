//! `walhook webhooks add`, `edit`, `disable`, `test`: what is done to webhooks that are registered in the database.

use super::{Context, database};
use crate::admin::Message;
use crate::app::cli;
use crate::app::config::{Config, Registrations};
use crate::app::failure::{Exit, Failure};
use crate::app::keys::{self, Absent};
use crate::app::run::transport;
use crate::app::tester::tester;
use crate::catalog::{Description, Latest};
use crate::clock::Clock;
use crate::delivery::Outcome;
use crate::dispatch::HttpCourier;
use crate::observe::Observers;
use crate::postgres;
use crate::registry::{self, Door, Fault, Interpreter, Refusal, Registered, Registrar, Row};
use crate::remedy::Remediable as _;
use crate::transport::Trust;
use crate::webhook::{Webhook, WebhookId};
use serde_json::{Map, Value, json};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// A larger text is no registration.
const BYTES_MAX: u64 = 1 << 20;

/// What registers, by the configuration.
pub(super) fn registrar(config: &Config) -> Result<Registrar, Failure> {
    let keys = keys::load(&config.secrets, Absent::Refuse, &Observers::default()).map_err(Failure::of)?;
    let interpreter: Arc<dyn Interpreter> = Arc::new(Registrations::by(config, &keys));
    Ok(Registrar {
        door: Door::new(config.source.address().map_err(Failure::of)?, postgres::APPLICATION_NAME),
        interpreter: watch::channel(interpreter).1,
        keys: watch::channel(keys).1,
        registered: Registered::default(),
    })
}

/// Registers a webhook.
pub(super) async fn add(context: &Context, config: &Config, arguments: &cli::Add) -> Result<(), Failure> {
    let native = match &arguments.file {
        Some(file) => read(file)?,
        None => of_options(arguments)?,
    };
    let by = std::env::var("USER").unwrap_or_default();
    let row = registrar(config)?.create(native, &by).await.map_err(failure)?;
    let id = row.id().unwrap_or_default();
    told(
        context,
        &row,
        &format!(
            "webhook {id} {:?} is registered; `walhook webhooks show {id}` says what becomes of it",
            row.name()
        ),
    )
}

/// Changes some fields of a webhook, as a JSON Merge Patch says.
pub(super) async fn edit(
    context: &Context,
    config: &Config,
    id: WebhookId,
    file: &Path,
) -> Result<(), Failure> {
    let row = registrar(config)?.patch(id, None, read(file)?).await.map_err(failure)?;
    told(
        context,
        &row,
        &format!("webhook {id} {:?} is changed; it has version {} now", row.name(), row.version()),
    )
}

/// Switches a registered webhook on or off.
pub(super) async fn switch(
    context: &Context,
    config: &Config,
    id: WebhookId,
    enabled: bool,
) -> Result<(), Failure> {
    let row = registrar(config)?.switch(id, enabled, None).await.map_err(failure)?;
    let said = if enabled {
        format!("webhook {:?} is enabled; what waits for it goes out", row.name())
    } else {
        format!("webhook {:?} is disabled: new changes are not taken, what is queued waits", row.name())
    };
    told(context, &row, &said)
}

/// Deletes a registered webhook.
pub(super) async fn delete(context: &Context, config: &Config, id: WebhookId) -> Result<(), Failure> {
    let row = registrar(config)?.delete(id, None).await.map_err(failure)?;
    let said = format!("webhook {:?} is deleted; a running walhook drops what was queued for it", row.name());
    done(context, &said, &json!({ "id": id.0, "deleted": true }))
}

/// Sends one request to a webhook's endpoint, and says what became of it. Ends with 1 where it was not taken.
pub(super) async fn test(context: &Context, config: &Config, id: WebhookId) -> Result<Exit, Failure> {
    let webhook = match config.webhooks.find(id) {
        Some(own) => Arc::clone(own),
        None => Arc::new(registered(config, id).await?),
    };
    let courier = Arc::new(HttpCourier::new(transport(config)?, Trust::of));
    let began = Instant::now();
    let outcome = tester(courier, forms(config).await, Clock::system())(webhook, Message::Sample).await;
    let took = began.elapsed();
    let mut json = json!({
        "success": outcome.is_success(),
        "outcome": outcome.to_string(),
        "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    });
    if let Outcome::Answered { status, excerpt, .. } = &outcome {
        json["status"] = (*status).into();
        json["excerpt"] = excerpt.clone().into();
    }
    done(context, &format!("{outcome}, after {} ms", took.as_millis()), &json)?;
    Ok(if outcome.is_success() { Exit::Well } else { Exit::No })
}

/// The forms as they are now. Where the database does not say, a test has no fields.
async fn forms(config: &Config) -> Latest {
    let latest = Latest::default();
    if let Ok(catalog) = database::catalog(config).await {
        let forms = catalog.forms().filter_map(|form| catalog.described(&form.name)?.ok());
        latest.replace(Description { forms: forms.collect(), statuses: catalog.statuses().to_vec() });
    }
    latest
}

async fn registered(config: &Config, id: WebhookId) -> Result<Webhook, Failure> {
    let registrar = registrar(config)?;
    let row = registrar.find(id).await.map_err(failure)?;
    registrar.read(&row).map_err(|faults| failure(Refusal::Faults(faults)))
}

/// A registration, or a part of one, as JSON; `-` is standard input.
fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", file.display()));
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    } else {
        std::fs::File::open(file)
            .and_then(|opened| opened.take(BYTES_MAX).read_to_string(&mut text))
            .map_err(unreadable)?;
    }
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("{} is no JSON object: {error}", file.display()))
            .hint("write it as the API takes it: {\"form\": …, \"events\": […], \"callback\": {\"url\": …}}")
    })
}

fn of_options(arguments: &cli::Add) -> Result<Map<String, Value>, Failure> {
    let cli::Add { form, event, url, name, condition, .. } = arguments;
    let (Some(form), Some(url), false) = (form, url, event.is_empty()) else {
        return Err(Failure::usage("a webhook needs a form, an event and a URL")
            .hint("walhook webhooks add --form F --event create --url https://…, or a file with JSON"));
    };
    let mut native = json!({ "form": form, "events": event, "callback": { "url": url } });
    if let Some(name) = name {
        native["name"] = name.clone().into();
    }
    if let Some(condition) = condition {
        native["condition"] = condition.clone().into();
    }
    Ok(native.as_object().cloned().unwrap_or_default())
}

fn told(context: &Context, row: &Row, said: &str) -> Result<(), Failure> {
    done(context, said, &Value::Object(registry::shown(row)))
}

fn done(context: &Context, said: &str, json: &Value) -> Result<(), Failure> {
    if context.output.json { context.output.json(json) } else { context.output.text(said) }
}

fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Faults(faults) => {
            let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
            Failure::usage(format!("the webhook cannot work: {}", lines.join("\n  ")))
        }
        Refusal::Table(error) => {
            let hint = error.hint();
            let failure = Failure::of(error);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        refusal => Failure::no(refusal.to_string()),
    }
}
