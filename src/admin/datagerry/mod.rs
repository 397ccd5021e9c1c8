//! DataGerry's interface: a program, or the product's page, that manages webhooks of DataGerry is pointed here.
//!
//! Routes, parameters and answers are those of DataGerry 2 and 3 as its public sources have them
//! (`/rest/webhooks/`, `/rest/webhook_events/`). The product's page sends what it writes as parameters of the request;
//! JSON and forms in the body are taken as well.

mod events;
mod given;
mod list;
mod literal;
mod trouble;
mod webhooks;
pub(super) mod words;

use super::Shown;
use super::gate::{Administrator, Gate};
use super::problem::{Problem, nothing_here, told_by};
use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{from_extractor, map_response};
use axum::response::Response;
use axum::routing::{any, get};

/// Where webhooks are.
const WEBHOOKS: &str = "/rest/webhooks";

/// Where their past deliveries are.
const EVENTS: &str = "/rest/webhook_events";

/// All routes, with and without a slash at the end. The product has rights of its own for each of them; here all are for
/// administrators.
pub(super) fn routes(shown: &Shown, gate: &Gate) -> Router {
    let webhooks = get(webhooks::list).post(webhooks::create);
    let webhook = get(webhooks::show).put(webhooks::change).patch(webhooks::change).delete(webhooks::delete);
    let event = get(events::show).delete(events::delete);
    let mut routes = Router::new();
    for slash in ["", "/"] {
        routes = routes
            .route(&format!("{WEBHOOKS}{slash}"), webhooks.clone())
            .route(&format!("{WEBHOOKS}/{{id}}{slash}"), webhook.clone())
            .route(&format!("{EVENTS}{slash}"), get(events::list))
            .route(&format!("{EVENTS}/{{id}}{slash}"), event.clone());
    }
    let routes = routes.route_layer(from_extractor::<Administrator>()).with_state(shown.clone());
    let elsewhere = Router::new().route("/rest/{*rest}", any(|| async { nothing_here() }));
    let routes = gate.guard(routes.merge(elsewhere));
    let routes = routes.method_not_allowed_fallback(|| async { not_allowed() });
    told_by(routes, trouble::of_problem).layer(map_response(with_version))
}

fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here")
}

/// Every answer of the product says which version of its interface this is.
async fn with_version(mut response: Response) -> Response {
    const VERSION: HeaderName = HeaderName::from_static("x-api-version");
    response.headers_mut().insert(VERSION, HeaderValue::from_static("1.0"));
    response
}
