//! Every webhook that there is, of the table and of the configuration file, as interfaces tell of it.

use super::Shown;
use super::problem::Answer;
use super::registering::{book, books, refused};
use super::translation::Native;
use crate::queue::{WebhookStanding, WebhookState};
use crate::registry::{self, Refusal, Row};
use crate::webhook::{Webhook, WebhookId};

/// A webhook.
pub(super) struct Listed {
    pub(super) id: WebhookId,
    /// What is registered, with its secrets masked; without a name where it has none of its own.
    pub(super) native: Native,
    /// The row, where it is registered.
    pub(super) row: Option<Row>,
    /// How the queue knows it, if it does by now.
    pub(super) book: Option<WebhookStanding>,
}

impl Listed {
    fn of_row(row: Row, book: Option<WebhookStanding>) -> Option<Self> {
        Some(Self { id: row.id()?, native: registry::masked(&row), row: Some(row), book })
    }

    fn of_file(own: &Webhook, book: Option<WebhookStanding>) -> Self {
        let mut native = registry::described(own);
        native.insert("name".into(), own.name.clone().into());
        Self { id: own.id, native, row: None, book }
    }

    /// Whether it takes new changes and they go out: products with one flag know no more.
    pub(super) fn is_enabled(&self) -> bool {
        self.native.get("enabled").is_none_or(|enabled| *enabled != false) && !self.is_suspended()
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.book.as_ref().is_some_and(|book| book.state == WebhookState::Suspended)
    }

    /// What went wrong last, until an attempt succeeds.
    pub(super) fn last_error(&self) -> Option<&str> {
        let book = self.book.as_ref()?;
        book.broken.as_deref().or(book.last_error.as_deref())
    }
}

/// All of them, by number.
pub(super) async fn all(shown: &Shown) -> Answer<Vec<Listed>> {
    let rows = match shown.registrar.door.all(None).await {
        Err(registry::Error::NoTable) => Vec::new(),
        Err(error) => return Err(refused(&Refusal::Table(error))),
        Ok(rows) => rows.unwrap_or_default(),
    };
    let mut books = books(shown).await?;
    let mut all: Vec<Listed> = rows
        .into_iter()
        .filter_map(|row| {
            let book = books.remove(&row.id()?);
            Listed::of_row(row, book)
        })
        .collect();
    all.extend(shown.webhooks_of_file().iter().map(|own| Listed::of_file(own, books.remove(&own.id))));
    all.sort_by_key(|one| one.id);
    Ok(all)
}

/// One of them; none where there is none.
pub(super) async fn one(shown: &Shown, id: WebhookId) -> Answer<Option<Listed>> {
    let book = book(shown, id).await?;
    if let Some(own) = shown.webhook_of_file(id) {
        return Ok(Some(Listed::of_file(&own, book)));
    }
    match shown.registrar.find(id).await {
        // nothing is registered where nothing can be
        Err(Refusal::Gone(_) | Refusal::Table(registry::Error::NoTable)) => Ok(None),
        Err(refusal) => Err(refused(&refusal)),
        Ok(row) => Ok(Listed::of_row(row, book)),
    }
}
