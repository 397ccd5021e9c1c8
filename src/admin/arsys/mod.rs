//! AR System's interface: a program that registers its webhooks with AR System is pointed here and works.
//!
//! Login, paths, keys and answers are those of BMC's documentation ("Adding AR System webhook to receive automatic
//! notifications", "Access and authentication for the REST API"); numbers of messages those of its catalogue as far as
//! they are known.

mod login;
mod trouble;
mod webhooks;
pub(super) mod words;

use super::Shown;
use super::gate::{Administrator, Gate};
use super::problem::{Problem, nothing_here, told_by};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_extractor;
use axum::routing::{get, post};

/// Where webhooks are.
const BASES: [&str; 2] = ["/api/arsys/v1.0/webhook", "/api/arsys/v1/webhook"];

/// All routes. Logging in is open to all; webhooks are for administrators.
pub(super) fn routes(shown: &Shown, gate: &Gate) -> Router {
    let open = Router::new()
        .route("/api/jwt/login", post(login::log_in))
        .route("/api/jwt/logout", post(login::log_out))
        .with_state(gate.clone());
    let mut webhooks = Router::new();
    for base in BASES {
        let all = get(webhooks::list).post(webhooks::create).options(webhooks::options);
        let one = get(webhooks::show)
            .put(webhooks::replace)
            .delete(webhooks::delete)
            .options(webhooks::options_of_one);
        webhooks = webhooks.route(base, all).route(&format!("{base}/{{id}}"), one);
    }
    let webhooks = webhooks.route_layer(from_extractor::<Administrator>()).with_state(shown.clone());
    let elsewhere =
        Router::new().route("/api/arsys/{*rest}", axum::routing::any(|| async { nothing_here() }));
    let routes = open.merge(gate.guard(webhooks.merge(elsewhere)));
    told_by(routes.method_not_allowed_fallback(|| async { not_allowed() }), trouble::of_problem)
}

fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here")
}
