//! The native API: of a running walhook on a real server, and with requests that nobody should send.

#[path = "api/arsys.rs"]
mod arsys;
#[path = "api/changegear.rs"]
mod changegear;
#[path = "api/clients.rs"]
mod clients;
#[path = "api/crowd.rs"]
mod crowd;
#[path = "api/datagerry.rs"]
mod datagerry;
#[path = "api/hostile.rs"]
mod hostile;
#[path = "api/ims.rs"]
mod ims;
#[path = "api/invented.rs"]
mod invented;
#[path = "api/itrp.rs"]
mod itrp;
mod itrp_events;
#[path = "api/one_model.rs"]
mod one_model;
#[path = "api/policies.rs"]
mod policies;
#[path = "api/registering.rs"]
mod registering;
#[path = "api/running.rs"]
mod running;
#[path = "api/samples.rs"]
mod samples;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// A client of an API.
pub(crate) struct Caller {
    base: String,
    client: Client,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) json: Value,
}

impl Caller {
    /// Of the API on a port of the loopback.
    pub(crate) fn new(base: &str) -> Self {
        Self { base: format!("{base}/api/v1"), client: Client::new(), token: None }
    }

    /// The same for a program with a token.
    pub(crate) fn with_token(base: &str, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::new(base) }
    }

    /// What a path beside the API says.
    pub(crate) async fn absolute(&self, base: &str, path: &str) -> String {
        let request = self.client.get(format!("{base}{path}"));
        self.with_login(request).send().await.unwrap().text().await.unwrap()
    }

    fn with_login(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.with_login(self.client.request(method, format!("{}{path}", self.base)))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status} {error}: {text:?}"));
        let kind = if status < 400 { "application/json" } else { "application/problem+json" };
        assert_eq!(headers["content-type"], kind, "{status} {json}");
        if status >= 400 {
            assert_eq!(json["status"], status, "{json}");
            assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()), "{json}");
        }
        Answer { status, headers, json }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let request = self.request("POST", path).header("content-type", "application/json");
        self.send(request.body(body.to_string())).await
    }

    /// The answer to a request that is well.
    pub(crate) async fn well(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        answer.json
    }
}
