//! Which condition is meant, and the form that it is about.

use super::{Asked, columns, made, text};
use crate::app::cli;
use crate::app::commands::{Context, database};
use crate::app::config::{Config, suggestion};
use crate::app::failure::Failure;
use crate::event::Verb;
use crate::form::BoundForm;
use crate::qualification::Dialect;
use crate::webhook::{Webhook, WebhookId};
use std::sync::Arc;

/// The condition and the forms that the command line names.
pub(super) async fn asked(context: &Context, command: &cli::Condition) -> Result<Asked, Failure> {
    if let Some(written) = &command.columns {
        let form = made::form(
            command.form.as_deref().unwrap_or("form"),
            columns::read(written)?,
            Arc::new(Dialect::default()),
        );
        return Ok(Asked { text: required(command)?, verbs: None, forms: vec![Arc::new(form)] });
    }
    if command.webhook.is_none() && command.form.is_none() {
        return Err(Failure::usage("nothing says which table the condition is about")
            .hint("name a form of the configuration with --form, or write columns: --columns 'id:integer,status:text'"));
    }
    let config = context.load()?;
    let (text, verbs, names) = match &command.webhook {
        Some(name) => {
            let webhook = webhook(&config, name)?;
            let Some(condition) = &webhook.condition else {
                return Err(Failure::usage(format!("webhook {:?} has no condition", webhook.name))
                    .hint("it wants every event that it listens to"));
            };
            let listens = || {
                let all = webhook.listens.iter();
                all.filter(|one| command.form.as_ref().is_none_or(|name| *name == one.form))
            };
            let mut verbs: Vec<Verb> = listens().flat_map(|one| one.verbs.iter().copied()).collect();
            verbs.sort_unstable();
            verbs.dedup();
            (condition.text().to_owned(), Some(verbs), listens().map(|one| one.form.clone()).collect())
        }
        None => (required(command)?, None, command.form.iter().cloned().collect::<Vec<_>>()),
    };
    if names.is_empty() {
        return Err(Failure::usage("the webhook does not listen to that form"));
    }
    if let Some(name) = names.iter().find(|name| !config.forms.iter().any(|form| form.name == **name)) {
        let known = config.forms.iter().map(|form| form.name.as_str());
        let hint = suggestion(name, known)
            .unwrap_or_else(|| "name a form of the configuration, or write --columns".to_owned());
        return Err(Failure::usage(format!("there is no form {name:?}")).hint(hint));
    }
    Ok(Asked { text, verbs, forms: described(&config, &names).await? })
}

fn required(command: &cli::Condition) -> Result<String, Failure> {
    let argument = command.text.as_ref().ok_or_else(|| {
        Failure::usage("there is no condition to judge")
            .hint("write it behind `condition`, or - to read it from standard input")
    })?;
    text(argument)
}

fn webhook<'a>(config: &'a Config, name: &str) -> Result<&'a Webhook, Failure> {
    let number = name.parse().ok().map(WebhookId);
    let mut webhooks = config.webhooks.iter().map(AsRef::as_ref);
    let found = webhooks.find(|webhook: &&Webhook| webhook.name == name || Some(webhook.id) == number);
    found.ok_or_else(|| {
        let known: Vec<_> = config.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        let hint = suggestion(name, known.iter().copied())
            .unwrap_or_else(|| "the configuration has none of that name".to_owned());
        Failure::usage(format!("there is no webhook {name:?}")).hint(hint)
    })
}

/// The forms as the database describes their tables now.
async fn described(config: &Config, names: &[String]) -> Result<Vec<Arc<BoundForm>>, Failure> {
    let without = "--columns 'name:type,…' tries a condition without a database";
    let catalog = database::catalog(config).await.map_err(|failure| {
        let hint =
            failure.hint.as_ref().map_or_else(|| without.to_owned(), |hint| format!("{hint}; {without}"));
        failure.hint(hint)
    })?;
    let mut forms = Vec::with_capacity(names.len());
    for name in names {
        match catalog.described(name) {
            Some(Ok(form)) => forms.push(form),
            Some(Err(fault)) => {
                return Err(Failure::usage(format!("form {name:?} does not fit its table: {fault}"))
                    .hint(fault.remedy()));
            }
            None => {
                return Err(Failure::usage(format!("the database has no table for form {name:?}"))
                    .hint(format!("`walhook check` tells more; {without}")));
            }
        }
    }
    Ok(forms)
}
