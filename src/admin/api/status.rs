//! `/status`: stream and queue in one look.

use super::{Answer, ProblemBody, out_of_order};
use crate::admin::Shown;
use crate::queue::WebhookState;
use axum::Json;
use axum::extract::State as On;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// How walhook does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The version of the program.
    version: &'static str,
    /// Whether it does its work.
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
    /// What needs attention without being in the way.
    notes: Vec<String>,
    stream: StreamStatus,
    queue: QueueStatus,
    webhooks: WebhookCounts,
    deliveries: DeliveryCounts,
}

/// The stream from the source database.
#[derive(Debug, Serialize, ToSchema)]
struct StreamStatus {
    /// `not_started`, `creating_slot`, `slot_in_use` or `running`.
    state: &'static str,
    /// The replication slot; none before the first start.
    slot: Option<String>,
    /// The database.
    database: Option<String>,
    /// The number of the server's cluster.
    system_id: Option<String>,
    timeline: Option<u32>,
    /// How many gaps lie behind.
    epoch: Option<u32>,
    /// The commit LSN of the last transaction that is dealt with.
    #[schema(example = "0/16B3748")]
    position: Option<String>,
    /// Up to where the server need not keep its log for us.
    end: Option<String>,
    /// Where the server's log ended when it said so last.
    server_wal_end: Option<String>,
    /// How many bytes of its log lie behind `end`.
    lag_bytes: Option<u64>,
}

/// The queue.
#[derive(Debug, Serialize, ToSchema)]
struct QueueStatus {
    /// What its file holds, without space that can be used again.
    bytes: u64,
    /// How much it may hold.
    bytes_max: u64,
}

/// The webhooks by how they are served.
#[derive(Debug, Default, Serialize, ToSchema)]
struct WebhookCounts {
    enabled: u64,
    disabled: u64,
    suspended: u64,
    orphaned: u64,
    /// Those, whatever their state, whose condition does not fit.
    broken: u64,
}

/// The deliveries and held events of all webhooks.
#[derive(Debug, Default, Serialize, ToSchema)]
struct DeliveryCounts {
    /// Those that wait, are due or under way.
    pending: u64,
    /// What their bodies take.
    pending_bytes: u64,
    /// Dead letters.
    dead: u64,
    /// Events that could not be judged.
    held: u64,
    /// Those that arrived, ever.
    delivered: u64,
    /// Those that were given up, ever.
    dropped: u64,
}

/// Shows how stream and queue do.
#[utoipa::path(
    get,
    path = "/status",
    operation_id = "show_status",
    tag = "status",
    responses(
        (status = 200, description = "How they do, well or not.", body = Status),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(On(shown): On<Shown>) -> Answer<impl IntoResponse> {
    let readiness = shown.health.readiness(&shown.queue_reading().await.map_err(out_of_order)?);
    let size = shown.queue.size().await.map_err(out_of_order)?;
    let record = shown.queue.stream().await.map_err(out_of_order)?;
    let (mut webhooks, mut deliveries) = (WebhookCounts::default(), DeliveryCounts::default());
    for standing in shown.queue.webhooks().await.map_err(out_of_order)? {
        *match standing.state {
            WebhookState::Enabled => &mut webhooks.enabled,
            WebhookState::Disabled => &mut webhooks.disabled,
            WebhookState::Suspended => &mut webhooks.suspended,
            WebhookState::Orphaned => &mut webhooks.orphaned,
        } += 1;
        webhooks.broken += u64::from(standing.broken.is_some());
        deliveries.pending += standing.pending;
        deliveries.pending_bytes += standing.pending_bytes;
        deliveries.dead += standing.dead;
        deliveries.held += standing.held;
        deliveries.delivered += standing.delivered;
        deliveries.dropped += standing.dropped;
    }
    let stream = shown.health.stream();
    let end = record.as_ref().map(|record| record.progress.end_lsn);
    let lag_bytes = stream.server_wal_end.zip(end).map(|(server, ours)| server.0.saturating_sub(ours.0));
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        ready: readiness.is_ready(),
        reasons: readiness.reasons,
        notes: readiness.notes,
        stream: StreamStatus {
            state: stream.standing,
            position: record.as_ref().map(|record| record.progress.commit_lsn.to_string()),
            end: end.map(|end| end.to_string()),
            timeline: record.as_ref().map(|record| record.timeline),
            epoch: record.as_ref().map(|record| record.epoch),
            server_wal_end: stream.server_wal_end.map(|end| end.to_string()),
            lag_bytes,
            system_id: record.as_ref().map(|record| record.system_id.clone()),
            database: record.as_ref().map(|record| record.database.clone()),
            slot: record.map(|record| record.slot),
        },
        queue: QueueStatus { bytes: size.bytes, bytes_max: size.bytes_max },
        webhooks,
        deliveries,
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(status)))
}
