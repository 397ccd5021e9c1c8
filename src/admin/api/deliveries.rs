//! `/deliveries`: listed page by page, shown with everything, replayed and dropped, one or many.

use super::delivery::{Delivery, DeliveryDetail};
use super::selection::{Selection, names_of, webhook};
use super::{Answer, ProblemBody, cursor, out_of_order};
use crate::admin::Shown;
use crate::admin::given::{Asked, Given, Named};
use crate::admin::problem::Problem;
use crate::delivery::{DeliveryId, DeliveryNumber, State};
use crate::queue::{self, DeliveryRef, Filter};
use crate::webhook::WebhookId;
use axum::Json;
use axum::extract::State as On;
use axum::http::header::{CACHE_CONTROL, LINK};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: u16 = 100;
const LIMIT_MAX: u16 = 1000;

/// Which deliveries are listed, and which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only this webhook's, by number or name.
    #[param(nullable = false)]
    webhook: Option<String>,
    /// Only those of this form.
    #[param(nullable = false)]
    form: Option<String>,
    /// Only those of this entry.
    #[param(nullable = false)]
    entry: Option<String>,
    /// Only those in these states, with commas between them.
    #[param(nullable = false, example = "dead,blocking")]
    state: Option<String>,
    /// Only those committed at or after.
    #[param(nullable = false, format = DateTime)]
    since: Option<String>,
    /// Only those committed before.
    #[param(nullable = false, format = DateTime)]
    until: Option<String>,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Where to go on: `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// Some deliveries of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryPage {
    /// The deliveries. There may be fewer than asked for, or none, although there is a next page.
    deliveries: Vec<Delivery>,
    /// The cursor of the next page; none if this is the last.
    next: Option<String>,
}

/// Lists deliveries in the order in which they came, newest first. What comes meanwhile changes no page behind it.
#[utoipa::path(
    get,
    path = "/deliveries",
    operation_id = "list_deliveries",
    tag = "deliveries",
    params(ListQuery),
    responses(
        (status = 200, description = "A page; the header `link` names the next.", body = DeliveryPage),
        (status = 400, description = "A parameter is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    On(shown): On<Shown>,
    Asked(asked): Asked<ListQuery>,
) -> Answer<(HeaderMap, Json<DeliveryPage>)> {
    let wrong = |name: &str, message: &str| {
        Problem::new(StatusCode::BAD_REQUEST, "a parameter is wrong").at(name, message, None)
    };
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(wrong("limit", "a page has 1 to 1000 deliveries"));
    }
    let after = match &asked.cursor {
        None => None,
        Some(text) => Some(cursor::read(text).ok_or_else(|| {
            wrong("cursor", "this is no cursor; it is `next` of the page before, as it is")
        })?),
    };
    let selection = Selection {
        webhook: asked.webhook.clone(),
        form: asked.form.clone(),
        entry: asked.entry.clone(),
        states: asked.state.iter().flat_map(|states| states.split(',')).map(str::to_owned).collect(),
        since: asked.since.clone(),
        until: asked.until.clone(),
        all: false,
    };
    let filter = selection.filter(&shown, StatusCode::BAD_REQUEST, "state", "").await?;
    let page = shown.queue.page(filter, after, usize::from(limit)).await.map_err(out_of_order)?;
    let names = names_of(&shown, page.deliveries.iter().map(|one| one.number.webhook)).await?;
    let name = |webhook: WebhookId| names.get(&webhook).map_or("", String::as_str);
    let deliveries = page.deliveries.iter().map(|one| Delivery::of(one, name(one.number.webhook)));
    let next = page.next.map(cursor::write);
    let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    if let Some(link) = next.as_deref().and_then(|next| asked.link(next, limit)) {
        headers.insert(LINK, link);
    }
    Ok((headers, Json(DeliveryPage { deliveries: deliveries.collect(), next })))
}

impl ListQuery {
    /// The address of the next page (RFC 8288).
    fn link(&self, next: &str, limit: u16) -> Option<HeaderValue> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let Self { webhook, form, entry, state, since, until, .. } = self;
        let given = [
            ("webhook", webhook),
            ("form", form),
            ("entry", entry),
            ("state", state),
            ("since", since),
            ("until", until),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.append_pair("limit", &limit.to_string()).append_pair("cursor", next);
        let link = format!("<{}/deliveries?{}>; rel=\"next\"", super::BASE, query.finish());
        HeaderValue::try_from(link).ok()
    }
}

/// Shows one delivery with its body, the request and all attempts, by its identity (the header `webhook-id`).
#[utoipa::path(
    get,
    path = "/deliveries/{id}",
    operation_id = "show_delivery_by_id",
    tag = "deliveries",
    params(("id" = String, Path, description = "`msg_` and 32 hexadecimal digits. It is looked for in the whole queue.")),
    responses(
        (status = 200, description = "The delivery.", body = DeliveryDetail),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show_by_id(
    On(shown): On<Shown>,
    Named(id): Named<String>,
) -> Answer<Json<DeliveryDetail>> {
    let known = id.parse::<DeliveryId>().map_err(|()| no_delivery(&id))?;
    detail(&shown, DeliveryRef::Id(known), &id).await
}

/// Shows one delivery with its body, the request and all attempts.
#[utoipa::path(
    get,
    path = "/deliveries/{webhook}/{sequence}",
    operation_id = "show_delivery",
    tag = "deliveries",
    params(
        ("webhook" = String, Path, description = "The webhook, by number or name."),
        ("sequence" = u64, Path, description = "The delivery's number."),
    ),
    responses(
        (status = 200, description = "The delivery.", body = DeliveryDetail),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    On(shown): On<Shown>,
    Named(name): Named<(String, String)>,
) -> Answer<Json<DeliveryDetail>> {
    let number = number(&shown, &name).await?;
    detail(&shown, DeliveryRef::Number(number), &format!("{}/{}", name.0, name.1)).await
}

async fn detail(shown: &Shown, which: DeliveryRef, name: &str) -> Answer<Json<DeliveryDetail>> {
    let found = shown.queue.delivery(which).await.map_err(out_of_order)?;
    let found = found.ok_or_else(|| no_delivery(name))?;
    let webhook = found.summary.number.webhook;
    let registered = shown.webhooks.borrow().find(webhook).cloned();
    let names = names_of(shown, [webhook].into_iter()).await?;
    let name = names.get(&webhook).map_or("", String::as_str);
    Ok(Json(DeliveryDetail::of(&found, name, registered.as_deref())))
}

/// The delivery of that name in the path.
async fn number(shown: &Shown, (name, sequence): &(String, String)) -> Answer<DeliveryNumber> {
    let known = match sequence.parse() {
        Ok(sequence) => webhook(shown, name).await?.map(|webhook| DeliveryNumber { webhook, sequence }),
        Err(_) => None,
    };
    known.ok_or_else(|| no_delivery(&format!("{name}/{sequence}")))
}

fn no_delivery(name: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such delivery")
        .detail(format!("{name:?} names none; finished ones go after the retention"))
}

/// How many deliveries are sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    replayed: u64,
}

/// How many deliveries were given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dropped {
    dropped: u64,
}

/// Sends a dead letter again: with the same id, number and body, and the header `walhook-replay: 1`.
#[utoipa::path(
    post,
    path = "/deliveries/{webhook}/{sequence}/replay",
    operation_id = "replay_delivery",
    tag = "deliveries",
    params(
        ("webhook" = String, Path, description = "The webhook, by number or name."),
        ("sequence" = u64, Path, description = "The delivery's number."),
    ),
    responses(
        (status = 200, description = "It is due again.", body = Replayed),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is no dead letter.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replay_one(
    On(shown): On<Shown>,
    Named(name): Named<(String, String)>,
) -> Answer<Json<Replayed>> {
    let one = one(&shown, &name).await?;
    let replayed = shown.queue.replay(one.clone()).await.map_err(out_of_order)?;
    if replayed == 0 {
        return Err(unfit(&shown, one, &name, "only dead letters can be replayed").await);
    }
    Ok(Json(Replayed { replayed }))
}

/// Gives a delivery up that is dead or not finished.
#[utoipa::path(
    post,
    path = "/deliveries/{webhook}/{sequence}/drop",
    operation_id = "drop_delivery",
    tag = "deliveries",
    params(
        ("webhook" = String, Path, description = "The webhook, by number or name."),
        ("sequence" = u64, Path, description = "The delivery's number."),
    ),
    responses(
        (status = 200, description = "It is given up.", body = Dropped),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is finished.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn drop_one(
    On(shown): On<Shown>,
    Named(name): Named<(String, String)>,
) -> Answer<Json<Dropped>> {
    let one = one(&shown, &name).await?;
    let dropped = shown.queue.drop_deliveries(one.clone()).await.map_err(out_of_order)?;
    if dropped == 0 {
        return Err(unfit(&shown, one, &name, "what is finished cannot be dropped").await);
    }
    Ok(Json(Dropped { dropped }))
}

async fn one(shown: &Shown, name: &(String, String)) -> Answer<Filter> {
    let DeliveryNumber { webhook, sequence } = number(shown, name).await?;
    Ok(Filter { webhook: Some(webhook), sequence: Some(sequence), ..Filter::default() })
}

/// Why nothing was done to a delivery.
async fn unfit(shown: &Shown, one: Filter, name: &(String, String), rule: &str) -> Problem {
    let found: Result<Vec<queue::DeliverySummary>, _> = shown.queue.deliveries(one, 1).await;
    let name = format!("{}/{}", name.0, name.1);
    match found.map(|found| found.first().map(|found| found.state)) {
        Ok(Some(state)) => Problem::new(StatusCode::CONFLICT, "the delivery is in another state")
            .detail(format!("{rule}; {name} is {}", state.as_str())),
        Ok(None) => no_delivery(&name),
        Err(error) => out_of_order(error),
    }
}

/// Sends the dead letters again that fit, in commit order, each marked as a replay. They go out as fast as the limits
/// of their webhooks (`in_flight_max`, `per_second_max`) let them.
#[utoipa::path(
    post,
    path = "/deliveries/replay",
    operation_id = "replay_deliveries",
    tag = "deliveries",
    request_body = Selection,
    responses(
        (status = 200, description = "So many are due again.", body = Replayed),
        (status = 400, description = "The body is not JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The filter is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replay_all(
    On(shown): On<Shown>,
    Given(selection): Given<Selection>,
) -> Answer<Json<Replayed>> {
    let mut filter = selection.chosen(&shown).await?;
    refuse_states(&filter, "only dead letters can be replayed", "say dead, blocking, or nothing", |state| {
        matches!(state, State::Dead | State::Blocking)
    })?;
    if filter.states.is_empty() {
        filter.states = vec![State::Blocking, State::Dead];
    }
    let replayed = shown.queue.replay(filter).await.map_err(out_of_order)?;
    Ok(Json(Replayed { replayed }))
}

/// Gives up the deliveries that fit and are dead or not finished.
#[utoipa::path(
    post,
    path = "/deliveries/drop",
    operation_id = "drop_deliveries",
    tag = "deliveries",
    request_body = Selection,
    responses(
        (status = 200, description = "So many are given up.", body = Dropped),
        (status = 400, description = "The body is not JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The filter is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn drop_all(
    On(shown): On<Shown>,
    Given(selection): Given<Selection>,
) -> Answer<Json<Dropped>> {
    let filter = selection.chosen(&shown).await?;
    let remedy = "say some of waiting, ready, retrying, blocking, dead";
    refuse_states(&filter, "what is finished cannot be dropped", remedy, |state| {
        !matches!(state, State::Delivered | State::Dropped)
    })?;
    let dropped = shown.queue.drop_deliveries(filter).await.map_err(out_of_order)?;
    Ok(Json(Dropped { dropped }))
}

fn refuse_states(filter: &Filter, rule: &str, remedy: &str, fits: impl Fn(&State) -> bool) -> Answer<()> {
    if filter.states.iter().all(fits) {
        return Ok(());
    }
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "a filter is wrong");
    Err(problem.at("/states", rule, Some(remedy.to_owned())))
}
