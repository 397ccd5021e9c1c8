//! The interface of ITRP, 4me, Xurrent and R-Service, one product under four names: a program that registers its webhooks
//! there is pointed here and works.
//!
//! Paths, fields and answers are those of the products' pages "Webhooks API", "Pagination", "Filtering" and "Webhooks".

mod account;
mod pages;
mod policies;
mod trouble;
mod uri;
mod verification;
mod webhooks;
pub(super) mod words;

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

/// Where webhook policies are.
const POLICIES: [&str; 2] = ["/webhook_policies", "/v1/webhook_policies"];

/// All routes. They are for administrators, but for the links that verify a webhook and the public keys of policies.
pub(super) fn routes(shown: &Shown, gate: &Gate) -> Router {
    let resources = BASES.into_iter().map(webhooks).chain(POLICIES.into_iter().map(policies));
    let guarded = resources
        .fold(Router::new(), Router::merge)
        .route_layer(from_fn_with_state(shown.settings.clone(), account::asked_for))
        .route_layer(from_extractor::<Administrator>());
    let links = BASES.into_iter().fold(Router::new(), |links, base| {
        let verify = get(verification::verify).post(verification::verify);
        links.route(&format!("{base}/{{id}}/verify"), verify)
    });
    let open = POLICIES.into_iter().fold(links, |open, base| {
        let configuration = format!("{base}/{{name}}/.well-known/openid-configuration");
        open.route(&configuration, get(policies::configuration))
            .route(&format!("{base}/{{name}}/jwks"), get(policies::keys))
    });
    let routes = open
        .merge(gate.guard(guarded.with_state(shown.clone())).with_state(()))
        .with_state(shown.clone())
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        });
    told_by(routes, trouble::of_problem)
}

fn webhooks(base: &str) -> Router<Shown> {
    let one = get(webhooks::show).patch(webhooks::change).put(webhooks::change).delete(webhooks::delete);
    Router::new()
        .route(base, get(webhooks::list).post(webhooks::create))
        .route(&format!("{base}/enabled"), get(webhooks::list_enabled))
        .route(&format!("{base}/disabled"), get(webhooks::list_disabled))
        .route(&format!("{base}/{{id}}"), one)
        .route(&format!("{base}/{{id}}/test"), post(webhooks::test))
        .route(&format!("{base}/{{id}}/{{*rest}}"), any(|| async { nothing_here() }))
}

fn policies(base: &str) -> Router<Shown> {
    let one = get(policies::show).patch(policies::change).put(policies::change).delete(policies::delete);
    Router::new()
        .route(base, get(policies::list).post(policies::create))
        .route(&format!("{base}/enabled"), get(policies::list_enabled))
        .route(&format!("{base}/disabled"), get(policies::list_disabled))
        .route(&format!("{base}/{{id}}"), one)
}
