//! `walhook init`.

use super::Context;
use crate::app::cli::{Init, Preset};
use crate::app::config::{Config, may_hold_password};
use crate::app::failure::{Exit, Failure};
use crate::init::{self, Proposal};
use crate::postgres::{self, Address};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::Path;

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
    let mut proposal = match arguments.preset {
        None => Proposal::of(&tables),
        Some(Preset::Arsystem) => Proposal::of_arsystem(&session, &tables).await.map_err(Failure::of)?,
    };
    let is_asked =
        !arguments.yes && !arguments.stdout && !context.output.json && std::io::stdin().is_terminal();
    let mut endpoint = arguments.webhook.clone();
    if is_asked {
        show(context, &proposal)?;
        choose(context, &mut proposal)?;
        if endpoint.is_none() {
            endpoint = context.output.ask("URL that is to hear of everything [none]:")?;
        }
    }
    let text = proposal.to_toml(address.database(), &source(url), endpoint.as_deref());
    // what is proposed has to be understood
    Config::parse(path, &text, &|name| std::env::var(name).ok().or_else(|| Some(format!("${name}"))))
        .map_err(|problems| Failure::new(Exit::Bug, format!("what was proposed is wrong:\n{problems}")))?;
    if arguments.stdout {
        context.output.text(&text)?;
        return Ok(Exit::Well);
    }
    write(path, &text, arguments.force)?;
    if context.output.json {
        context.output.json(&described(path, &proposal))?;
    } else {
        let (forms, left_out) = (proposal.forms.len(), proposal.left_out.len());
        context.output.text(&format!(
            "{}: {forms} forms; {left_out} tables are none, the file says why\nnext: walhook setup; walhook check; walhook run",
            path.display()
        ))?;
    }
    Ok(Exit::Well)
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

fn described(path: &Path, proposal: &Proposal) -> serde_json::Value {
    let forms = proposal.forms.iter().map(
        |form| json!({ "name": form.name, "table": form.table, "rows": form.rows, "events": form.events() }),
    );
    let left_out =
        proposal.left_out.iter().map(|table| json!({ "table": table.table, "reason": table.reason }));
    json!({
        "path": path.display().to_string(),
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
