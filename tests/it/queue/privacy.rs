//! Purging by name and by each webhook's own time; and lists page by page, which must not mind any of it.

use super::make::{Feed, Turned, claim, dead, delivered, drain, end, numbers, register};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use walhook::delivery::{Batch, Outcome, Settlement, State};
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{EndedBefore, EntryPurged, EntryRef, Filter, Place, Queue};
use walhook::webhook::WebhookId;

const SEVEN: WebhookId = WebhookId(7);

fn open(path: &Path, time: &Turned) -> Arc<SqliteQueue> {
    SqliteQueue::open(path, Options { clock: time.clock(), ..Options::default() }).unwrap()
}

/// All pages of a list, behind a place.
async fn pages(queue: &dyn Queue, filter: &Filter, limit: usize, from: Option<Place>) -> Vec<(u64, u64)> {
    let (mut found, mut after) = (Vec::new(), from);
    loop {
        let page = queue.page(filter.clone(), after, limit).await.unwrap();
        assert!(page.deliveries.len() <= limit);
        let numbers = page.deliveries.iter().map(|one| (one.number.webhook.0, one.number.sequence));
        found.extend(numbers);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn pages_are_one_list_whatever_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let time = Turned::new();
    let queue = open(&folder.path().join("queue.db"), &time);
    register(&*queue, &[7, 8]).await;
    let mut feed = Feed::new();
    for lane in 0..300 {
        queue.enqueue(feed.transaction(&[(lane, &[7, 8]), (lane, &[7])])).await.unwrap();
    }
    let claims = queue.claim(40, &|webhook| if webhook == SEVEN { 40 } else { 0 }).await.unwrap();
    let settled = claims.into_iter().enumerate().map(|(number, claim)| match number % 2 {
        0 => dead(claim),
        _ => delivered(claim),
    });
    queue.settle(settled.collect()).await.unwrap();

    let any = Filter::default;
    let all = pages(&*queue, &any(), 7, None).await;
    assert_eq!(all.len(), 900);
    assert_eq!(all[..4], [(7, 600), (8, 300), (7, 599), (7, 598)], "newest first");
    assert_eq!(pages(&*queue, &any(), 1000, None).await, all, "whatever the limit");
    let of = |webhook: u64| all.iter().copied().filter(|one| one.0 == webhook).collect::<Vec<_>>();
    assert_eq!(pages(&*queue, &Filter { webhook: Some(SEVEN), ..any() }, 11, None).await, of(7));
    let dead_ones = Filter { states: vec![State::Dead, State::Blocking], ..any() };
    let dead_ones = pages(&*queue, &dead_ones, 3, None).await;
    assert_eq!(dead_ones.len(), 20);
    assert_eq!(dead_ones[19], (7, 1));
    let delivered = Filter { states: vec![State::Delivered], webhook: Some(SEVEN), ..any() };
    let delivered = pages(&*queue, &delivered, 3, None).await;
    assert_eq!(delivered.len(), 20);
    let waiting = Filter { states: vec![State::Waiting], webhook: Some(SEVEN), ..any() };
    let ready = Filter { states: vec![State::Ready], ..waiting.clone() };
    let (waiting, ready) = (pages(&*queue, &waiting, 50, None).await, pages(&*queue, &ready, 50, None).await);
    assert_eq!(waiting.len() + ready.len(), 560);
    assert_eq!(ready.len(), 300, "of each entry its first");
    let entry = Filter { entry_id: Some("INC5".into()), form: Some("Incident".into()), ..any() };
    assert_eq!(pages(&*queue, &entry, 2, None).await, [(7, 12), (8, 6), (7, 11)]);

    // what comes stands before the first page, what goes is missing, and all else stays where it was
    let first = queue.page(any(), None, 100).await.unwrap();
    queue.enqueue(feed.transaction(&[(1000, &[7, 8])])).await.unwrap();
    while queue.purge(i64::MAX).await.unwrap() > 0 {}
    let rest = pages(&*queue, &any(), 100, first.next).await;
    let is_kept = |one: &(u64, u64)| !delivered.contains(one);
    assert_eq!(rest, all[100..].iter().copied().filter(is_kept).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_webhook_keeps_what_ended_for_its_own_time() {
    const HOUR: Duration = Duration::from_secs(3600);
    let folder = tempfile::tempdir().unwrap();
    let time = Turned::new();
    let queue = open(&folder.path().join("queue.db"), &time);
    register(&*queue, &[7, 8, 9]).await;
    let mut feed = Feed::new();
    // an event of all three each hour, in a block that they share; one of 9 fails
    for lane in 0..200 {
        queue.enqueue(feed.transaction(&[(lane, &[7, 8, 9])])).await.unwrap();
        for claim in claim(&*queue, 10).await {
            let is_dead = lane == 3 && claim.number.webhook.0 == 9;
            queue.settle(vec![if is_dead { dead(claim) } else { delivered(claim) }]).await.unwrap();
        }
        time.advance(HOUR);
    }
    let hours = |hours: i64| time.now_us() - hours * HOUR.as_micros() as i64;
    let before = || EndedBefore {
        us: hours(100),
        of: BTreeMap::from([(WebhookId(8), hours(150)), (WebhookId(9), hours(10))]),
    };
    let purge = async || {
        let mut all = 0;
        loop {
            match queue.purge_each(before()).await.unwrap() {
                0 => return all,
                purged => all += purged,
            }
        }
    };
    assert_eq!(purge().await, 100 + 50 + 190 - 1);
    assert_eq!(purge().await, 0);
    let left = async |webhook| {
        let filter = Filter { webhook: Some(WebhookId(webhook)), ..Filter::default() };
        pages(&*queue, &filter, 1000, None).await.into_iter().map(|(_, number)| number).collect::<Vec<_>>()
    };
    let down_to = |last: u64| (last..=200).rev().collect::<Vec<_>>();
    assert_eq!(left(7).await, down_to(101));
    assert_eq!(left(8).await, down_to(51));
    assert_eq!(left(9).await, [down_to(191), vec![4]].concat(), "a dead letter stays");
    // what is left of a shared block is told as it was
    let filter = Filter { webhook: Some(WebhookId(8)), sequence: Some(60), ..Filter::default() };
    let found = queue.deliveries(filter, 1).await.unwrap().remove(0);
    assert_eq!((found.state, found.last_outcome.as_deref()), (State::Delivered, Some("200 OK")));
    time.advance(100 * HOUR);
    assert_eq!(purge().await, 100 + 100 + 10);
    assert_eq!(left(8).await, down_to(151));
    let books = queue.webhooks().await.unwrap();
    assert_eq!(books.iter().map(|book| book.delivered).collect::<Vec<_>>(), [200, 200, 199]);
}

/// Whether any file of the queue has a text.
fn is_in_file(path: &Path, text: &str) -> bool {
    let folder = path.parent().unwrap();
    fs::read_dir(folder).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// A transaction of an event for each lane, with the lane's own words in head and tail.
fn told(feed: &mut Feed, lanes: &[u64], webhooks: &[u64]) -> Batch {
    let changes: Vec<(u64, &[u64])> = lanes.iter().map(|&lane| (lane, webhooks)).collect();
    let mut batch = feed.transaction(&changes);
    for event in &mut batch.events {
        let word = format!("[body of {}]", event.entry_id);
        // beyond what a page has room for as well
        event.tails[0].bytes = Bytes::from(word.repeat(600));
        for delivery in &mut event.deliveries {
            delivery.head = Bytes::from(format!("[head of {}]", event.entry_id));
        }
    }
    batch
}

async fn entry_purged(queue: &dyn Queue, entry: &str, drop_unfinished: bool) -> EntryPurged {
    let entry = EntryRef { form: Some("Incident".into()), entry_id: entry.into() };
    queue.purge_entry(entry, drop_unfinished).await.unwrap()
}

#[tokio::test]
async fn nothing_of_a_purged_entry_is_left_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let time = Turned::new();
    let queue = open(&path, &time);
    register(&*queue, &[7, 8]).await;
    let mut feed = Feed::new();
    queue.enqueue(told(&mut feed, &[1, 2, 3], &[7, 8])).await.unwrap();
    queue.enqueue(told(&mut feed, &[2, 4, 2], &[7])).await.unwrap();
    let mut holding = feed.holding(&[(2, &[8]), (5, &[8])]);
    holding.held[0].content = Bytes::from("[held of INC2]");
    queue.enqueue(holding).await.unwrap();
    for claim in claim(&*queue, 20).await {
        let excerpt = format!("[answer for {}]", claim.entry_id);
        let mut settled = if claim.number.webhook == SEVEN && claim.number.sequence == 2 {
            dead(claim)
        } else {
            delivered(claim)
        };
        settled.attempt.outcome = Outcome::Answered { status: 200, retry_after: None, excerpt };
        queue.settle(vec![settled]).await.unwrap();
    }
    // a dead letter, two that wait behind nothing now, and one held
    let refused = entry_purged(&*queue, "INC2", false).await;
    let wanted = EntryPurged { dead: 1, waiting: 2, held: 1, is_refused: true, ..EntryPurged::default() };
    assert_eq!(refused, wanted);
    for word in ["body", "head", "held", "answer for"] {
        let word =
            if word == "answer for" { "[answer for INC2]".into() } else { format!("[{word} of INC2]") };
        assert!(is_in_file(&path, &word), "{word}");
    }
    assert_eq!(entry_purged(&*queue, "INC99", false).await, EntryPurged::default());

    // the attempt on one of them is under way
    let under_way = claim(&*queue, 1).await;
    assert_eq!(under_way[0].entry_id, "INC2");
    let done = entry_purged(&*queue, "INC2", true).await;
    assert_eq!(done, EntryPurged { purged: 4, is_refused: false, ..wanted });
    let settled = under_way.into_iter().map(|claim| end(claim, 500, Settlement::Dead)).collect();
    queue.settle(settled).await.unwrap();
    assert!(!is_in_file(&path, "of INC2]"), "bodies, heads, what was held");
    assert!(!is_in_file(&path, "for INC2]"), "answers");
    assert!(!is_in_file(&path, "INC2"), "not even its name");

    let left = pages(&*queue, &Filter::default(), 10, None).await;
    assert_eq!(left, [(7, 5), (8, 3), (7, 3), (8, 1), (7, 1)]);
    for (entry, sequence) in [("INC1", 1), ("INC3", 3), ("INC4", 5)] {
        let filter = Filter { webhook: Some(SEVEN), sequence: Some(sequence), ..Filter::default() };
        let found = queue.deliveries(filter, 1).await.unwrap().remove(0);
        assert_eq!(found.entry_id, entry);
        let detail = queue.delivery(walhook::queue::DeliveryRef::Id(found.id)).await.unwrap().unwrap();
        assert_eq!(detail.body.head, format!("[head of {entry}]"));
        assert!(is_in_file(&path, &format!("[body of {entry}]")));
    }
    let ranges = queue.ranges(Some(SEVEN)).await.unwrap();
    let ranges: Vec<_> = ranges.iter().map(|range| (range.first, range.last, range.state)).collect();
    assert_eq!(ranges, [(2, 2, State::Dropped), (4, 4, State::Dropped), (6, 6, State::Dropped)]);
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].pending, books[0].dead, books[0].delivered, books[0].dropped), (0, 0, 3, 3));
    assert_eq!((books[1].held, books[1].held_dropped), (1, 1));
    // the entry goes on with what comes
    queue.enqueue(told(&mut feed, &[2], &[7])).await.unwrap();
    assert_eq!(drain(&*queue).await, [(7, 7)]);
}

/// The story of a command that dropped what waited and purged it at once: the process that had the queue looked for
/// what had been dropped, found nothing, and held the entry's lane for what was gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_purges_beside_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let time = Turned::new();
    let queue = open(&path, &time);
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(told(&mut feed, &[1, 2, 2], &[7])).await.unwrap();
    let beside = SqliteQueue::open_beside(&path, Options::default()).unwrap();
    let done = entry_purged(&*beside, "INC2", true).await;
    assert_eq!((done.purged, done.waiting), (2, 2));
    queue.enqueue(told(&mut feed, &[2], &[7])).await.unwrap();
    assert_eq!(drain(&*queue).await, [(7, 1), (7, 4)], "the lane goes on");
    drop(queue);
    // and without an owner
    let done = entry_purged(&*beside, "INC2", false).await;
    assert_eq!((done.purged, done.is_refused), (1, false));
    assert!(!is_in_file(&path, "[body of INC2]"));
    drop(beside);
    let queue = open(&path, &time);
    queue.enqueue(told(&mut feed, &[3], &[7])).await.unwrap();
    assert_eq!(numbers(&claim(&*queue, 5).await), [(7, 5)]);
    drop(queue);
    let beside = SqliteQueue::open_beside(&path, Options::default()).unwrap();
    assert_eq!(entry_purged(&*beside, "INC3", true).await.purged, 1, "nobody has to take notice");
}
