//! `/entries`: what is kept of an entry, removed on request.

use super::{Answer, ProblemBody, out_of_order};
use crate::admin::Shown;
use crate::admin::given::Given;
use crate::admin::problem::Problem;
use crate::queue::{EntryPurged, EntryRef};
use axum::Json;
use axum::extract::State as On;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The entry that is purged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PurgeRequest {
    /// The entry.
    entry_id: String,
    /// Its form, where entries of other forms have the same id.
    form: Option<String>,
    /// Gives up what is not delivered yet, is dead or held; otherwise nothing is done where there is such.
    #[serde(default)]
    drop_waiting: bool,
}

/// What was removed.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the keys of the answer")]
pub(super) struct Purged {
    /// How many deliveries.
    purged: u64,
    /// How many of them were to be sent.
    waiting: u64,
    /// How many of them were dead letters.
    dead: u64,
    /// How many held events beside them.
    held: u64,
    /// How many row changes are in quarantine whose entries are not known: they may be of it.
    quarantined: u64,
}

/// Removes all that the queue keeps of an entry: bodies, attempts and held events. The numbers of its deliveries stay
/// known as delivered or dropped. Backups have what they had.
#[utoipa::path(
    post,
    path = "/entries/purge",
    operation_id = "purge_entry",
    tag = "entries",
    request_body = PurgeRequest,
    responses(
        (status = 200, description = "Nothing of it is left in the queue's file.", body = Purged),
        (status = 400, description = "The body is not JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Something of it is not finished.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The body is not what is wanted.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn purge(On(shown): On<Shown>, Given(request): Given<PurgeRequest>) -> Answer<Json<Purged>> {
    let PurgeRequest { entry_id, form, drop_waiting } = request;
    let entry = EntryRef { form, entry_id };
    let purged = shown.queue.purge_entry(entry, drop_waiting).await.map_err(out_of_order)?;
    let EntryPurged { purged, waiting, dead, held, is_refused, quarantined } = purged;
    if is_refused {
        return Err(Problem::new(StatusCode::CONFLICT, "something of the entry is not finished").at(
            "/drop_waiting",
            format!("{waiting} deliveries wait, {dead} are dead letters, {held} events are held"),
            Some("deliver or replay them first, or say \"drop_waiting\": true".to_owned()),
        ));
    }
    Ok(Json(Purged { purged, waiting, dead, held, quarantined }))
}
