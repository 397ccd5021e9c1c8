//! The interface of ITRP, 4me, Xurrent and R-Service, one product under four names: a program that registers its webhooks
//! there is pointed here and works.
//!
//! Paths, fields and answers are those of the products' pages "Webhooks API", "Pagination", "Filtering" and "Webhooks".

mod account;
mod pages;
mod trouble;
mod uri;
mod verification;
mod webhooks;
mod words;

pub use account::Settings;

use super::Shown;
use super::gate::{Administrator, Gate};
use super::problem::{Problem, nothing_here, told_by};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_extractor, from_fn_with_state};
use axum::routing::{any, get, post};

/// Where webhooks are.
const BASES: [&str; 2] = ["/webhooks", "/v1/webhooks"];

/// All routes. They are for administrators, but for the links that verify a webhook.
pub(super) fn routes(shown: &Shown, gate: &Gate) -> Router {
    let mut webhooks = Router::new();
    for base in BASES {
        let one = get(webhooks::show).patch(webhooks::change).put(webhooks::change).delete(webhooks::delete);
        webhooks = webhooks
            .route(base, get(webhooks::list).post(webhooks::create))
            .route(&format!("{base}/enabled"), get(webhooks::list_enabled))
            .route(&format!("{base}/disabled"), get(webhooks::list_disabled))
            .route(&format!("{base}/{{id}}"), one)
            .route(&format!("{base}/{{id}}/test"), post(webhooks::test))
            .route(&format!("{base}/{{id}}/{{*rest}}"), any(|| async { nothing_here() }));
    }
    let webhooks = webhooks
        .route_layer(from_fn_with_state(shown.settings.clone(), account::asked_for))
        .route_layer(from_extractor::<Administrator>())
        .with_state(shown.clone())
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        });
    let mut links = Router::new();
    for base in BASES {
        let verify = get(verification::verify).post(verification::verify);
        links = links.route(&format!("{base}/{{id}}/verify"), verify);
    }
    told_by(links.with_state(shown.clone()).merge(gate.guard(webhooks)), trouble::of_problem)
}
