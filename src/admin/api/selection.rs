//! Which deliveries and webhooks a request means.

use super::{Answer, out_of_order, time};
use crate::admin::Shown;
use crate::admin::problem::Problem;
use crate::delivery::State;
use crate::queue::Filter;
use crate::webhook::WebhookId;
use axum::http::StatusCode;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Which deliveries are meant. Everything that is said must fit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    /// Only this webhook's, by number or name.
    pub(super) webhook: Option<String>,
    /// Only those of this form.
    pub(super) form: Option<String>,
    /// Only those of this entry.
    pub(super) entry: Option<String>,
    /// Only those in these states.
    #[serde(default)]
    pub(super) states: Vec<String>,
    /// Only those committed at or after.
    #[schema(format = DateTime)]
    pub(super) since: Option<String>,
    /// Only those committed before.
    #[schema(format = DateTime)]
    pub(super) until: Option<String>,
    /// Says that all are meant, where nothing else is said.
    #[serde(default)]
    pub(super) all: bool,
}

impl Selection {
    /// The queue's filter. `states` is what the states are called where this came from, `before` what stands before
    /// each name.
    pub(super) async fn filter(
        &self,
        shown: &Shown,
        status: StatusCode,
        states: &str,
        before: &str,
    ) -> Answer<Filter> {
        let mut problem = Problem::new(status, "a filter is wrong");
        let mut is_wrong = false;
        let mut wrong = |name: &str, message: String, remedy: &str| {
            is_wrong = true;
            let told = problem.clone().at(format!("{before}{name}"), message, Some(remedy.to_owned()));
            problem = told;
        };
        let mut filter =
            Filter { form: self.form.clone(), entry_id: self.entry.clone(), ..Filter::default() };
        if let Some(text) = &self.webhook {
            filter.webhook = webhook(shown, text).await?;
            if filter.webhook.is_none() {
                wrong("webhook", format!("there is no webhook {text:?}"), "name it by number or name");
            }
        }
        for text in &self.states {
            match State::ALL.into_iter().find(|state| state.as_str() == text) {
                Some(state) => filter.states.push(state),
                None => {
                    let known = State::ALL.map(State::as_str).join(", ");
                    wrong(states, format!("{text:?} is no state"), &format!("say some of {known}"));
                }
            }
        }
        let remedy = "write it as 2026-11-22T05:00:00Z";
        let times =
            [("since", &self.since, &mut filter.since_us), ("until", &self.until, &mut filter.until_us)];
        for (name, text, us) in times {
            let Some(text) = text else { continue };
            *us = time::read(text);
            if us.is_none() {
                wrong(name, format!("{text:?} is no time with its offset from UTC"), remedy);
            }
        }
        if is_wrong { Err(problem) } else { Ok(filter) }
    }

    /// The filter of a request that changes something: that everything is meant must be said.
    pub(super) async fn chosen(&self, shown: &Shown) -> Answer<Filter> {
        const STATUS: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
        let filter = self.filter(shown, STATUS, "states", "/").await?;
        let is_everything = filter == Filter::default();
        let (message, remedy) = match (is_everything, self.all) {
            (true, true) | (false, false) => return Ok(filter),
            (true, false) => ("nothing says which deliveries are meant", "say which, or \"all\": true"),
            (false, true) => ("all of them are meant, and only some", "leave \"all\" away"),
        };
        Err(Problem::new(STATUS, "a filter is wrong").at("/all", message, Some(remedy.to_owned())))
    }
}

/// The webhook of that number or name, registered or not.
pub(super) async fn webhook(shown: &Shown, text: &str) -> Answer<Option<WebhookId>> {
    let number = text.parse().ok().map(WebhookId);
    let registered = Arc::clone(&shown.webhooks.borrow());
    if let Some(known) = number.filter(|number| registered.find(*number).is_some()) {
        return Ok(Some(known));
    }
    if let Some(named) = registered.iter().find(|webhook| webhook.name == text) {
        return Ok(Some(named.id));
    }
    let standings = shown.queue.webhooks().await.map_err(out_of_order)?;
    let by_number = standings.iter().find(|standing| Some(standing.id) == number);
    let found = by_number.or_else(|| standings.iter().find(|standing| standing.name == text));
    Ok(found.map(|standing| standing.id))
}

/// The names of webhooks, registered or not.
pub(super) async fn names_of(
    shown: &Shown,
    webhooks: impl Iterator<Item = WebhookId>,
) -> Answer<HashMap<WebhookId, String>> {
    let registered = Arc::clone(&shown.webhooks.borrow());
    let mut names = HashMap::new();
    let mut is_whole = true;
    for id in webhooks {
        match registered.find(id) {
            Some(webhook) => drop(names.insert(id, webhook.name.clone())),
            None => is_whole = false,
        }
    }
    if !is_whole {
        let standings = shown.queue.webhooks().await.map_err(out_of_order)?;
        for standing in standings {
            names.entry(standing.id).or_insert(standing.name);
        }
    }
    Ok(names)
}
