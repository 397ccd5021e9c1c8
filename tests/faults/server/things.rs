//! A table beside those that the oracle knows, with a form and a webhook of its own: for what the oracle has no words
//! for. The laws judge the others meanwhile.

use super::patience;
use crate::proof::stage::Stage;
use crate::proof::trial::{Trial, content};
use crate::proof::world::HOOKS;
use serde_json::Value;
use std::collections::BTreeMap;

/// A trial with the table `desk.thing (id, a, b)`, published, and its webhook, told by a condition.
pub async fn begin(name: &str, condition: &str) -> Trial {
    let mut stage = Stage::prepare(name, &HOOKS, content()).await;
    let made = "create table desk.thing (id int primary key, a text, b int);
                alter publication walhook add table desk.thing";
    stage.client.batch_execute(made).await.unwrap();
    let toml = stage.configuration(&stage.cluster.url("postgres"));
    stage.walhook.configure(&format!(
        "{toml}
[[forms]]
name = \"thing\"
table = \"desk.thing\"
[[webhooks]]
id = 5
name = \"things\"
form = \"thing\"
events = [\"create\", \"update\", \"merge\", \"delete\"]
condition = '''{condition}'''
callback.url = \"{}\"
",
        stage.receiver.url("/things")
    ));
    stage.start().await;
    Trial::on(stage, 1)
}

/// The last body of each entry that its webhook was sent, once these have come.
pub async fn things(trial: &Trial, wanted: &[String]) -> BTreeMap<String, Value> {
    let told = || {
        let arrivals = trial.stage.receiver.arrivals_from(0);
        let bodies = arrivals.iter().filter(|arrival| arrival.request.path == "/things");
        let read = |arrival: &walhook::demo::receiver::Arrival| {
            let body: Value = serde_json::from_slice(&arrival.request.body).unwrap();
            (body["entry_id"].as_str().unwrap().to_owned(), body)
        };
        bodies.map(read).collect::<BTreeMap<_, _>>()
    };
    let began = std::time::Instant::now();
    loop {
        let told = told();
        let missing: Vec<_> = wanted.iter().filter(|id| !told.contains_key(*id)).collect();
        if missing.is_empty() {
            return told;
        }
        assert!(
            began.elapsed() < patience(),
            "{} things do not arrive, the first {:?}:\n{}",
            missing.len(),
            missing[0],
            trial.stage.walhook.log_tail()
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
