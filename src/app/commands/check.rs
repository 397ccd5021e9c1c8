//! `walhook check`.

use super::{Context, database};
use crate::app::config::{Config, Secrets};
use crate::app::failure::{Exit, Failure};
use crate::app::keys::{self, Absent};
use crate::app::supervise::with_causes;
use crate::doctor::endpoints::{self, Endpoint};
use crate::doctor::facts::Facts;
use crate::doctor::{
    Finding, Mend, Report, Severity, certificate, check, conditions, registration, standing, wanted,
};
use crate::observe::Observers;
use crate::postgres;
use crate::registry::{Door, Row};
use crate::remedy::Remediable as _;
use jiff::Timestamp;
use std::time::Duration;

/// How long an endpoint may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks for everything that is wrong: in the configuration, on the database, with the
/// endpoints, in the queue. Ends with 1
/// where something is, with 69 where the database could not be asked.
pub async fn perform(context: &Context) -> Result<Exit, Failure> {
    let config = context.load()?;
    let (database, endpoints, mail) =
        tokio::join!(of_database(&config), of_endpoints(&config), of_mail(&config));
    let mut report = Report { findings: of_configuration(&config) };
    let mut unreachable = None;
    match database {
        Ok(found) => report.findings.extend(found.findings),
        Err(failure) => unreachable = Some(failure),
    }
    report.findings.extend(endpoints?);
    if let Some(files) = &config.admin.access.tls {
        report.findings.push(certificate::check(files, Timestamp::now()));
    }
    report.findings.extend(mail);
    report.findings.extend(of_queue(context, &config).await);
    if context.output.json {
        let mut json = report.to_json();
        if let Some(failure) = &unreachable {
            json["ok"] = false.into();
            json["database"] = failure.to_json();
        }
        context.output.json(&json)?;
        return Ok(match unreachable {
            Some(failure) => failure.exit,
            None => exit(&report),
        });
    }
    context.output.text(&report.to_string())?;
    unreachable.map_or_else(|| Ok(exit(&report)), Err)
}

fn exit(report: &Report) -> Exit {
    if report.has_errors() { Exit::No } else { Exit::Well }
}

async fn of_database(config: &Config) -> Result<Report, Failure> {
    let needs = database::needs(config, None);
    let session = database::log_in(config, None).await?;
    let facts = Facts::gather(&session, &needs).await.map_err(Failure::of)?;
    let mut report = check::check(&facts, &needs);
    report.findings.extend(wanted::check(&facts, &needs, config.webhooks.iter().map(AsRef::as_ref)));
    let catalog = database::catalog(config).await?;
    let described = |form: &str| catalog.described(form);
    let webhooks = config.webhooks.iter().map(AsRef::as_ref);
    let of_conditions = conditions::check(&facts, &needs, &described, webhooks, &report.findings);
    report.findings.extend(of_conditions);
    Ok(report)
}

async fn of_endpoints(config: &Config) -> Result<Vec<Finding>, Failure> {
    let wanted = config.webhooks.iter().filter(|webhook| webhook.enabled);
    let wanted: Vec<_> = wanted
        .map(|webhook| Endpoint {
            webhook: webhook.name.clone(),
            url: webhook.callback.url.clone(),
            proxy: webhook.callback.proxy.clone(),
            tls: webhook.callback.tls.clone(),
        })
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let tls = endpoints::platform_tls().map_err(|error| {
        Failure::new(Exit::Unreachable, error)
            .hint("install the system's root certificates (Debian: apt-get install ca-certificates)")
    })?;
    Ok(endpoints::probe(wanted, tls, CONNECT_TIMEOUT).await)
}

/// What became of what was read already. A queue that was not made yet has nothing to say.
async fn of_queue(context: &Context, config: &Config) -> Vec<Finding> {
    if !config.queue.path.exists() {
        return Vec::new();
    }
    let asked = async {
        // what comes while the queue is asked is no news
        let rows = registered(config).await;
        let queue = context.open_queue(config).await?;
        let mut findings = standing::check(&queue.webhooks().await?, &queue.quarantined().await?);
        findings.extend(registration::unknown(&rows, &queue.registrations().await?));
        Ok::<_, Failure>(findings)
    };
    asked.await.unwrap_or_else(|failure| {
        let object = format!("queue {}", config.queue.path.display());
        let finding = Finding::new(Severity::Error, object, failure.error.to_string());
        vec![match failure.hint {
            Some(hint) => finding.mended_by(Mend::Do(hint)),
            None => finding,
        }]
    })
}

/// What stands in the registration table; nothing where there is none, or the database does not answer.
async fn registered(config: &Config) -> Vec<Row> {
    let Ok(address) = config.source.address() else { return Vec::new() };
    let rows = Door::new(address, postgres::APPLICATION_NAME).all(None).await;
    rows.ok().flatten().unwrap_or_default()
}

/// What can be read and still is hardly meant.
fn of_configuration(config: &Config) -> Vec<Finding> {
    let file = format!("configuration {}", config.path.display());
    let mut findings = Vec::new();
    if config.webhooks.is_empty() {
        let finding = Finding::new(Severity::Warning, &file, "has no webhook: nothing will be delivered");
        findings.push(finding.mended_by(Mend::Key("[[webhooks]]".into())));
    }
    for form in config.forms.iter().filter(|form| form.belonging.is_none()) {
        let heard = config.webhooks.iter().any(|webhook| webhook.forms().any(|name| name == form.name));
        if !heard {
            let object = format!("form {:?}", form.name);
            findings.push(Finding::new(Severity::Note, object, "is listened to by no webhook"));
        }
    }
    for webhook in config.webhooks.iter().filter(|webhook| !webhook.enabled) {
        let object = format!("webhook {:?}", webhook.name);
        findings.push(Finding::new(Severity::Note, object, "is disabled in the configuration"));
    }
    findings.extend(of_listener(config));
    findings.extend(of_keys(&config.secrets));
    if findings.is_empty() {
        findings.push(Finding::new(Severity::Ok, file, "is complete"));
    }
    findings
}

/// What protects the HTTP surface.
fn of_listener(config: &Config) -> Option<Finding> {
    let admin = &config.admin;
    let lacks = match (&admin.access.tls, admin.access.accounts.is_empty()) {
        _ if admin.listen.ip().is_loopback() => return None,
        (Some(_), false) => return None,
        (None, false) => "without TLS: passwords and tokens can be read on the way",
        (_, true) => "without an account: whoever reaches it sees the metrics",
    };
    let what = format!("{} can be reached from other machines, {lacks}", admin.listen);
    let finding = Finding::new(Severity::Warning, "[admin] listen", what);
    Some(
        finding
            .mended_by(Mend::Key("[admin] tls and [[admin.users]]; or listen = \"127.0.0.1:8640\"".into())),
    )
}

/// Whether the mail relay answers and lets us in; nothing is sent.
async fn of_mail(config: &Config) -> Option<Finding> {
    let mail = config.mail.as_ref()?;
    let object = format!("mail relay {}:{}", mail.host, mail.port);
    Some(match mail.probe().await {
        Ok(()) => Finding::new(Severity::Ok, object, "answers"),
        Err(error) => {
            let finding = Finding::new(Severity::Error, object, with_causes(&error));
            finding.mended_by(Mend::Key("[mail] relay, tls, username and password".into()))
        }
    })
}

/// A key file that is not there yet has nothing to say: `run` makes it.
fn of_keys(secrets: &Secrets) -> Option<Finding> {
    let Secrets::File(path) = secrets else { return None };
    let object = format!("key file {}", path.display());
    match keys::load(secrets, Absent::Refuse, &Observers::default()) {
        Ok(_) if keys::readable_by_others(path) => {
            let finding = Finding::new(Severity::Warning, object, "can be read by others");
            Some(finding.mended_by(Mend::Do(format!("chmod 0600 {}", path.display()))))
        }
        Ok(_) | Err(keys::Error::Absent(_)) => None,
        Err(error) => {
            let finding = Finding::new(Severity::Error, object, with_causes(&error));
            Some(finding.mended_by(Mend::Do(error.hint().unwrap_or_default())))
        }
    }
}
