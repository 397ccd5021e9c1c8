//! Capture's own loop, one row per transaction: from decoded changes to events that nobody wants (mapping alone), and
//! from pgoutput's bytes to deliveries that the queue holds (everything but the socket).

use super::queue::with_queue;
use crate::played::{Played, Said};
use crate::sample::{self, What};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use walhook::capture::{Bounds, Settings, run_on};
use walhook::observe::Observers;
use walhook::postgres::Address;
use walhook::queue::Queue;
use walhook::source::pgoutput;
use walhook::webhook::{Webhook, Webhooks};

/// A condition that every row meets, and that has to be judged.
const WIDE: &str = "'impact' < 9 AND 'assigned_group' LIKE \"team%\"";

pub fn map_insert(prepared: u64, times: u64) {
    capture(What::Insert, None, prepared, times);
}

pub fn map_update(prepared: u64, times: u64) {
    capture(What::Update, None, prepared, times);
}

pub fn insert(prepared: u64, times: u64) {
    capture(What::Insert, Some(sample::webhook(7, Some(WIDE), "native")), prepared, times);
}

pub fn update(prepared: u64, times: u64) {
    capture(What::Update, Some(sample::webhook(7, Some(WIDE), "native")), prepared, times);
}

fn capture(what: What, webhook: Option<Webhook>, prepared: u64, times: u64) {
    let is_decoded = webhook.is_none();
    let decoded = |bytes| pgoutput::decode(bytes).ok().flatten().expect("the sample is a message");
    let said = |bytes| if is_decoded { Said::Message(decoded(bytes)) } else { Said::Bytes(bytes) };
    let log: VecDeque<Said> =
        (1..=prepared).flat_map(|entry| sample::transaction_bytes(what, entry)).map(said).collect();
    let deliveries = if is_decoded { 0 } else { times };
    let settings = Settings {
        registry: walhook::capture::Registry::default(),
        address: Address::parse("postgres://nobody@localhost/nowhere").expect("it is an address"),
        slot: "walhook".into(),
        publications: ["walhook".into(), "walhook_inserts".into()],
        forms: vec![Arc::new(sample::form())],
        webhooks: Arc::new(webhook.into_iter().collect::<Webhooks>()),
        staging_bytes_max: 1 << 30,
        adopt_slot: false,
        bounds: Bounds::default(),
        latest: walhook::catalog::Latest::default(),
        references: None,
        clock: walhook::clock::Clock::system(),
    };
    with_queue(|queue| async move {
        let end = CancellationToken::new();
        let database = Played::new(log, 3 * times as usize, end.clone());
        run_on(&database, &settings, &*queue, &Observers::default(), &end).await.expect("it runs to the end");
        let stream = queue.stream().await.expect("it answers").expect("there was a stream");
        let [.., commit] = sample::transaction_bytes(what, times);
        let expected = pgoutput::decode(commit).expect("it is a message");
        let reached = stream.progress;
        let (commit_lsn, end_lsn) = (reached.commit_lsn, reached.end_lsn);
        assert_eq!(expected, Some(walhook::source::Message::Commit { commit_lsn, end_lsn }));
        let standings = queue.webhooks().await.expect("it answers");
        assert_eq!(standings.iter().map(|one| one.pending).sum::<u64>(), deliveries);
    });
}
