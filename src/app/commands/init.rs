//! `walhook init`.

use super::Context;
use crate::app::cli::{Init, Preset};
use crate::app::config::{Config, may_hold_password};
use crate::app::failure::{Exit, Failure};
use crate::form::Form;
use crate::init::{self, Pack, Proposal, Table};
use crate::postgres::{self, Address};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Reads the catalogue of a database and writes the configuration that it proposes.
pub async fn perform(context: &Context, arguments: &Init) -> Result<Exit, Failure> {
    let path = &context.config;
    if !arguments.stdout && !arguments.force && path.exists() {
        return Err(Failure::usage(format!("{} is there already", path.display()))
            .hint("name another one with --config, print it with --stdout, or overwrite it with --force"));
    }
    let url = arguments.database_url.as_deref().unwrap_or_default();
    let address = Address::parse(url).map_err(Failure::of)?;
    let session = postgres::connect(&address, "walhook init").await.map_err(Failure::of)?;
    let tables = init::read(&session, &arguments.schema).await.map_err(Failure::of)?;
    if tables.is_empty() {
        let of = if arguments.schema.is_empty() {
            String::new()
        } else {
            format!(" in {}", arguments.schema.join(", "))
        };
        return Err(Failure::no(format!("database {:?} has no tables{of}", address.database()))
            .hint("is it the right one? --database-url names it, --schema its schemas"));
    }
    let (database, source) = (address.database(), source(url));
    let place = (database, source.as_str());
    let file = match arguments.preset {
        None => proposed(context, arguments, Proposal::of(&tables), place)?,
        Some(Preset::Arsystem) => {
            let proposal = Proposal::of_arsystem(&session, &tables).await.map_err(Failure::of)?;
            proposed(context, arguments, proposal, place)?
        }
        Some(Preset::Zammad) => known(context, arguments, init::ZAMMAD, place, &tables)?,
        Some(Preset::Znuny) => known(context, arguments, init::ZNUNY, place, &tables)?,
    };
    // what is proposed has to be understood
    understood(path, &file.text)?;
    if arguments.stdout {
        context.output.text(&file.text)?;
        return Ok(Exit::Well);
    }
    write(path, &file.text, arguments.force)?;
    if context.output.json {
        let mut described = file.described;
        described["path"] = path.display().to_string().into();
        context.output.json(&described)?;
    } else {
        context.output.text(&format!(
            "{}: {}\nnext: walhook setup; walhook check; walhook run",
            path.display(),
            file.said
        ))?;
    }
    Ok(Exit::Well)
}

/// What is to be written, and what is said of it.
struct Made {
    text: String,
    described: Value,
    said: String,
}

/// The file for a database of an application that is known.
fn known(
    context: &Context,
    arguments: &Init,
    pack: Pack,
    (database, source): (&str, &str),
    tables: &[Table],
) -> Result<Made, Failure> {
    let config = understood(&context.config, pack.forms)?;
    let is_there = |form: &Form| tables.iter().any(|table| table.name == form.table);
    let missing: BTreeSet<&str> =
        config.forms.iter().filter(|form| !is_there(form)).map(|form| form.table.as_str()).collect();
    if !missing.is_empty() {
        let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
        let application = pack.application;
        return Err(Failure::no(format!("database {database:?} has no {missing}, as {application} would"))
            .hint("is it the right one? --database-url names it; without --preset the tables say what the forms are"));
    }
    let forms: Vec<&Arc<Form>> = config.forms.iter().filter(|form| form.belonging.is_none()).collect();
    let events_of = |form: &&Arc<Form>| -> Vec<String> {
        form.verbs().iter().map(|verb| format!("{}.{verb}", form.noun)).collect()
    };
    let events: Vec<Vec<String>> = forms.iter().map(events_of).collect();
    let url = endpoint(context, arguments)?;
    let described = forms.iter().zip(&events);
    let described = described
        .map(|(form, events)| json!({ "name": form.name, "table": form.table, "events": events }))
        .collect::<Vec<_>>();
    Ok(Made {
        text: pack.to_toml(database, source, url.as_deref(), &events),
        described: json!({ "forms": described }),
        said: format!("{} forms of {}", forms.len(), pack.application),
    })
}

/// The file for a database whose catalogue says what there is.
fn proposed(
    context: &Context,
    arguments: &Init,
    mut proposal: Proposal,
    (database, source): (&str, &str),
) -> Result<Made, Failure> {
    if is_asked(context, arguments) {
        show(context, &proposal)?;
        choose(context, &mut proposal)?;
    }
    let url = endpoint(context, arguments)?;
    let (forms, left_out) = (proposal.forms.len(), proposal.left_out.len());
    Ok(Made {
        text: proposal.to_toml(database, source, url.as_deref()),
        described: described(&proposal),
        said: format!("{forms} forms; {left_out} tables are none, the file says why"),
    })
}

/// The configuration that a text makes, whatever the environment lacks.
fn understood(path: &Path, text: &str) -> Result<Config, Failure> {
    Config::parse(path, text, &|name| std::env::var(name).ok().or_else(|| Some(format!("${name}"))))
        .map_err(|problems| Failure::new(Exit::Bug, format!("what was proposed is wrong:\n{problems}")))
}

fn is_asked(context: &Context, arguments: &Init) -> bool {
    !arguments.yes && !arguments.stdout && !context.output.json && std::io::stdin().is_terminal()
}

/// Who is to hear of everything.
fn endpoint(context: &Context, arguments: &Init) -> Result<Option<String>, Failure> {
    if arguments.webhook.is_none() && is_asked(context, arguments) {
        return context.output.ask("URL that is to hear of everything [none]:");
    }
    Ok(arguments.webhook.clone())
}

fn show(context: &Context, proposal: &Proposal) -> Result<(), Failure> {
    let rows = proposal.forms.iter().enumerate().map(|(number, form)| {
        let words = form.transitions.iter().map(|transition| transition.verb.clone());
        let words = words.chain(form.children.iter().map(|child| child.verb.clone())).collect::<Vec<_>>();
        vec![(number + 1).to_string(), form.name.clone(), form.rows.to_string(), words.join(", ")]
    });
    context.output.list(
        || json!(null),
        &["", "form", "rows", "beside create, update, merge and delete"],
        rows.collect(),
        "no table can be a form",
    )
}

/// Asks which forms are wanted, until the answer can be understood.
fn choose(context: &Context, proposal: &mut Proposal) -> Result<(), Failure> {
    let count = proposal.forms.len();
    if count == 0 {
        return Ok(());
    }
    let wanted = loop {
        let Some(answer) = context.output.ask("Which of them? 1,3-5 [all]:")? else { return Ok(()) };
        if let Some(wanted) = numbers(&answer, count) {
            break wanted;
        }
        context.output.note(&format!("numbers from 1 to {count}, with commas and hyphens: 1,3-5"));
    };
    let mut number = 0;
    proposal.forms.retain(|_| {
        number += 1;
        wanted.contains(&number)
    });
    Ok(())
}

/// The numbers that are meant by `1,3-5`.
fn numbers(text: &str, most: usize) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first == 0 || first > last || last > most {
            return None;
        }
        numbers.extend(first..=last);
    }
    (!numbers.is_empty()).then_some(numbers)
}

/// What stands below `[source]`: the address without its password, or that the environment has it.
fn source(url: &str) -> String {
    if url.is_empty() {
        return "# PGHOST, PGDATABASE, PGUSER and the others say where the database is.\n".to_owned();
    }
    let without = without_password(url);
    if without == url {
        return format!("url = {}\n", toml::Value::String(url.replace("${", "$${")));
    }
    if may_hold_password(&without) {
        return "# The address holds a password: set the variable to it.\nurl = \"${WALHOOK_SOURCE}\"\n"
            .to_owned();
    }
    format!(
        "# The password comes from PGPASSWORD or ~/.pgpass.\nurl = {}\n",
        toml::Value::String(without.replace("${", "$${"))
    )
}

fn without_password(url: &str) -> String {
    if !may_hold_password(url) {
        return url.to_owned();
    }
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => match parsed.set_password(None) {
            Ok(()) => parsed.to_string(),
            Err(()) => String::from("password=?"),
        },
        _ => String::from("password=?"),
    }
}

/// Writes the file. Somebody who made one meanwhile keeps it.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let failure =
            Failure::new(Exit::Unreachable, format!("{} cannot be written: {error}", path.display()));
        match error.kind() {
            ErrorKind::NotFound => failure.hint("make its folder first"),
            _ => failure,
        }
    })
}

fn described(proposal: &Proposal) -> Value {
    let forms = proposal.forms.iter().map(
        |form| json!({ "name": form.name, "table": form.table, "rows": form.rows, "events": form.events() }),
    );
    let left_out =
        proposal.left_out.iter().map(|table| json!({ "table": table.table, "reason": table.reason }));
    json!({
        "forms": forms.collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_chosen_by_numbers() {
        assert_eq!(numbers("1,3-5", 5), Some(vec![1, 3, 4, 5]));
        assert_eq!(numbers("2 1", 2), Some(vec![2, 1]));
        for wrong in ["", "0", "6", "2-1", "a", "1-", "-1", ","] {
            assert_eq!(numbers(wrong, 5), None, "{wrong}");
        }
    }

    #[test]
    fn no_password_is_written() {
        assert_eq!(source("postgres://walhook@db/desk"), "url = \"postgres://walhook@db/desk\"\n");
        for url in [
            "postgres://walhook:hush@db/desk",
            "host=db password=hush dbname=desk",
            "postgres://db/desk?password=hush",
            "postgres://walhook:hu/sh@db/desk",
        ] {
            assert!(!source(url).contains("hu"), "{url}: {}", source(url));
        }
        assert!(source("postgres://walhook:hush@db/desk").contains("postgres://walhook@db/desk\""));
    }
}
