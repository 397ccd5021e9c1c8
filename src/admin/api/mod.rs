//! `/api/v1`: the native API, one file per resource. Its OpenAPI document is made of the same code as the routes, and
//! kept in `docs/openapi.json`.
//!
//! Every answer that is not what was asked for is a problem (RFC 9457). Keys are those of the command line's `--json`,
//! times RFC 3339 in UTC.

mod conditions;
mod cursor;
mod deliveries;
mod delivery;
mod entries;
mod forms;
mod gated;
mod selection;
mod status;
pub mod time;
mod webhook;
mod webhooks;

pub use super::given::BODY_BYTES_MAX;
pub use delivery::{Delivery, DeliveryDetail};

use super::Shown;
use super::gate::{Administrator, Gate};
use super::problem::{Answer, Problem, nothing_here, out_of_order};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_extractor;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::openapi::{OpenApi, OpenApiBuilder, ServerBuilder};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where the API is.
pub const BASE: &str = "/api/v1";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "walhook",
        description = "Webhooks for every application on PostgreSQL: deliveries, forms, conditions and status.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemBody, ProblemError))
)]
struct Described;

/// What only reads.
pub(super) fn reading() -> OpenApiRouter<Shown> {
    OpenApiRouter::new()
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::show_by_id))
        .routes(routes!(deliveries::show))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::show))
        .routes(routes!(status::show))
        .routes(routes!(forms::list))
        .routes(routes!(forms::show))
        .routes(routes!(conditions::preview))
}

/// What changes something.
pub(super) fn changing() -> OpenApiRouter<Shown> {
    OpenApiRouter::new()
        .routes(routes!(deliveries::replay_one))
        .routes(routes!(deliveries::drop_one))
        .routes(routes!(deliveries::replay_all))
        .routes(routes!(deliveries::drop_all))
        .routes(routes!(entries::purge))
        .routes(routes!(webhooks::create))
        .routes(routes!(webhooks::replace))
        .routes(routes!(webhooks::change))
        .routes(routes!(webhooks::delete))
        .routes(routes!(webhooks::enable))
        .routes(routes!(webhooks::disable))
        .routes(routes!(webhooks::test))
}

/// All routes, below their base and behind the gate; what changes something is for administrators.
pub(super) fn routes(shown: &Shown, gate: &Gate) -> Router {
    let document = Json(document());
    let routes = Router::from(reading())
        .merge(Router::from(changing()).route_layer(from_extractor::<Administrator>()))
        .route("/openapi.json", get(|| async move { document }))
        .fallback(|uri: Uri| async move { nothing_at(uri.path()) })
        .method_not_allowed_fallback(|method: Method| async move {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "there is no such method here")
                .detail(format!("{method} is none of those that the header `allow` names"))
        });
    gate.guard(Router::new().nest(BASE, routes.with_state(shown.clone())))
}

/// The OpenAPI document.
pub fn document() -> OpenApi {
    let document: OpenApiBuilder = Described::openapi().into();
    let document = document.servers(Some([ServerBuilder::new().url(BASE).build()])).build();
    gated::describe(
        OpenApiRouter::with_openapi(document).merge(reading()).merge(changing()).split_for_parts().1,
    )
}

/// What went wrong, as `application/problem+json` (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct ProblemBody {
    /// What kind of problem it is, in words that stay the same from case to case.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What is special about this case.
    #[schema(nullable = false)]
    detail: Option<String>,
    /// What is wrong with the request, all that is.
    #[schema(nullable = false)]
    errors: Option<Vec<ProblemError>>,
}

/// One thing that is wrong with a request.
#[derive(Serialize, ToSchema)]
struct ProblemError {
    /// Where: a JSON pointer into the body, or the name of a parameter.
    pointer: String,
    /// What is wrong.
    detail: String,
    /// What to do about it.
    #[schema(nullable = false)]
    remedy: Option<String>,
}

fn nothing_at(path: &str) -> Problem {
    nothing_here().detail(format!("{BASE}{path} is no path of this API; {BASE}/openapi.json lists them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `WRITE_OPENAPI=1 cargo test --lib openapi` writes it down.
    #[test]
    fn the_openapi_document_is_written_down() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        let current = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("WRITE_OPENAPI").is_some() {
            std::fs::write(&path, &current).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == current, "docs/openapi.json is not current; `make openapi` writes it anew");
    }
}
