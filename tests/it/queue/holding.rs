//! The contract for events that are held. Each part takes a fresh queue.

use super::conformance::Factory;
use super::make::{Feed, Turned, claim, dead, delivered, drain, record, register};
use walhook::delivery::{Batch, Held, HeldBecause, HeldRef, HeldWhat, Holder, State};
use walhook::queue::{Error, Filter, Queue, WebhookRecord, WebhookStanding};
use walhook::webhook::WebhookId;

pub(super) async fn for_held(make: &impl Factory) {
    what_is_held_comes_back_in_commit_order(make).await;
    what_is_held_without_progress_does_not_count(make).await;
    what_is_released_is_delivered_and_gone(make).await;
    one_who_lets_go_leaves_it_to_the_others(make).await;
    contradictions_about_held_events_are_refused(make).await;
    held_events_beyond_the_backlog_become_a_range(make).await;
    a_range_waits_for_its_turn_and_its_numbers(make).await;
    what_was_held_is_never_turned_away(make).await;
    held_events_are_dropped_only_by_people(make).await;
    a_deleted_webhook_holds_nothing(make).await;
    a_broken_webhook_says_why_until_it_is_mended(make).await;
}

const SEVEN: WebhookId = WebhookId(7);

async fn standing(queue: &dyn Queue) -> WebhookStanding {
    queue.webhooks().await.unwrap().into_iter().find(|standing| standing.id == SEVEN).unwrap()
}

async fn held(queue: &dyn Queue) -> Vec<Held> {
    queue.held(SEVEN, None, usize::MAX).await.unwrap()
}

fn numbers(held: &[Held]) -> Vec<u64> {
    held.iter().map(|one| one.held.number).collect()
}

/// How many events each row stands for; 0 for an event that is there.
fn counts(held: &[Held]) -> Vec<u64> {
    held.iter()
        .map(|one| match one.what {
            HeldWhat::Event { .. } => 0,
            HeldWhat::Range { count, .. } => count,
        })
        .collect()
}

/// Judges what a webhook holds, oldest first: true for all.
fn release(feed: &mut Feed, held: &[Held]) -> Batch {
    Batch {
        events: held.iter().map(|one| feed.judged(one)).collect(),
        released: held.iter().map(|one| one.held).collect(),
        progress: Some(feed.progress()),
        ..Batch::default()
    }
}

#[track_caller]
fn assert_bug<T: std::fmt::Debug>(answer: Result<T, Error>, said: &str) {
    match answer {
        Err(Error::Bug { reason }) => assert!(reason.contains(said), "{reason}"),
        other => panic!("{other:?} where {said:?} was to be said"),
    }
}

fn limited(backlog_bytes_max: u64) -> WebhookRecord {
    WebhookRecord { backlog_bytes_max, ..record(7) }
}

async fn what_is_held_comes_back_in_commit_order(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7, 8]).await;
    let mut feed = Feed::new();
    feed.body_bytes = 1000;
    let mut batch = feed.transaction(&[(9, &[7])]);
    let causes =
        [HeldBecause::Failed { reason: "division by zero".into() }, HeldBecause::Broken, HeldBecause::Behind];
    for (ordinal, cause) in causes.iter().enumerate() {
        let holder = |webhook| Holder { webhook: WebhookId(webhook), cause: cause.clone() };
        let lane = 1 + ordinal as u64 % 2;
        batch.held.push(feed.held(lane, vec![holder(8), holder(7)], ordinal as u64 + 1));
    }
    let expected = batch.held.clone();
    assert!(queue.enqueue(batch).await.unwrap().is_some());
    queue.enqueue(feed.holding(&[(3, &[8])])).await.unwrap();

    let found = held(queue).await;
    assert_eq!(found.len(), 3, "{found:?}");
    for ((found, expected), cause) in found.iter().zip(&expected).zip(&causes) {
        assert_eq!((found.held.webhook, &found.cause, found.position), (SEVEN, cause, expected.position));
        let HeldWhat::Event { form, verb, entry_id, lane, committed_at_us, content } = &found.what else {
            panic!("{found:?} is a range");
        };
        assert_eq!(
            (form, verb, entry_id, lane, committed_at_us, content),
            (
                &expected.form,
                &expected.verb,
                &expected.entry_id,
                &expected.lane,
                &expected.committed_at_us,
                &expected.content
            )
        );
    }
    assert!(found.is_sorted_by_key(|found| found.held.number));
    let second = queue.held(SEVEN, Some(found[0].held.number), 1).await.unwrap();
    assert_eq!(numbers(&second), [found[1].held.number], "at least one, however little is asked for");
    assert_eq!(queue.held(SEVEN, None, 1500).await.unwrap().len(), 2);
    assert!(queue.held(SEVEN, Some(found[2].held.number), 1).await.unwrap().is_empty());

    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].held, books[1].held), (3, 4));
    assert!((3000..3100).contains(&books[0].held_bytes), "{}", books[0].held_bytes);
    assert_eq!((books[0].condition_failures, books[1].condition_failures), (1, 1));
    assert_eq!(books[0].last_condition_failure.as_deref(), Some("division by zero"));
    assert_eq!((books[0].pending, books[0].next_sequence), (1, 2), "what is held has no number yet");
    assert_eq!(drain(queue).await, [(7, 1)]);
}

async fn what_is_held_without_progress_does_not_count(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    queue.register(vec![limited(100_050), record(8)]).await.unwrap();
    let mut feed = Feed::new();
    queue.enqueue(feed.holding(&[(1, &[7])])).await.unwrap();
    let (before, found) = (queue.webhooks().await.unwrap(), numbers(&held(queue).await));
    let events: Vec<(u64, &[u64])> = (0..3000).map(|lane| (lane, &[7, 8][..])).collect();
    assert_eq!(queue.enqueue(feed.holding_part(&events, 0, false)).await.unwrap(), None);
    let unseen = async || {
        assert_eq!(queue.webhooks().await.unwrap(), before);
        assert_eq!(numbers(&held(queue).await), found);
    };
    unseen().await;
    queue.discard_unfinished().await.unwrap();
    unseen().await;
    // the same events come again, and now they count: those of 7 up to its limit
    let mut feed = Feed::after(100, &[]);
    queue.enqueue(feed.holding_part(&events, 0, false)).await.unwrap();
    unseen().await;
    queue.enqueue(Batch { progress: Some(feed.progress()), ..Batch::default() }).await.unwrap();
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].held, books[0].held_bytes, books[0].held_beyond_limit), (3001, 100_000, 2001));
    assert_eq!((books[1].held, books[1].held_beyond_limit), (3000, 0));
    let found = held(queue).await;
    assert_eq!(counts(&found).iter().sum::<u64>(), 2001);
    assert_eq!(found.len(), 1001);
    assert!(found.is_sorted_by_key(|found| (found.held.number, found.position)));
}

async fn what_is_released_is_delivered_and_gone(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.holding(&[(1, &[7]), (1, &[7]), (2, &[7]), (1, &[7])])).await.unwrap();
    let found = held(queue).await;
    // what comes meanwhile in another lane gets its number first
    queue.enqueue(feed.transaction(&[(3, &[7])])).await.unwrap();
    let mut batch = release(&mut feed, &found[..2]);
    // the third does not match
    batch.released.push(found[2].held);
    assert!(queue.enqueue(batch).await.unwrap().is_some());
    let books = standing(queue).await;
    assert_eq!((books.held, books.held_bytes, books.pending, books.next_sequence), (1, 100, 3, 4));
    assert_eq!(books.held_dropped, 0, "nobody gave anything up");
    assert_eq!(numbers(&held(queue).await), [found[3].held.number]);
    let summaries = queue.deliveries(Filter::default(), 10).await.unwrap();
    let second = summaries.iter().find(|summary| summary.number.sequence == 3).unwrap();
    assert_eq!((second.position, second.committed_at_us), (found[1].position, 1_600_000_000_000_100));
    let last = release(&mut feed, &found[3..]);
    queue.enqueue(last).await.unwrap();
    let first = claim(queue, 10).await;
    let claimed: Vec<_> = first.iter().map(|claim| claim.number.sequence).collect();
    assert_eq!(claimed, [1, 2], "3 and 4 are in the lane of 2");
    queue.settle(first.into_iter().map(delivered).collect()).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 3), (7, 4)]);
    let books = standing(queue).await;
    assert_eq!((books.held, books.held_bytes, books.delivered), (0, 0, 4));
    // numbers are not used again
    queue.enqueue(feed.holding(&[(1, &[7])])).await.unwrap();
    assert!(held(queue).await[0].held.number > found[3].held.number);
}

async fn one_who_lets_go_leaves_it_to_the_others(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7, 8, 9]).await;
    let mut feed = Feed::new();
    // one event: 9 has a delivery of it, 7 and 8 hold it
    let mut batch = feed.transaction(&[(1, &[9])]);
    let broken = |webhook| Holder { webhook: WebhookId(webhook), cause: HeldBecause::Broken };
    batch.held.push(feed.held(1, vec![broken(7), broken(8)], 0));
    queue.enqueue(batch).await.unwrap();
    for webhook in [7, 8] {
        let found = queue.held(WebhookId(webhook), None, usize::MAX).await.unwrap();
        let HeldWhat::Event { content, .. } = &found[0].what else { panic!("{found:?}") };
        assert_eq!(content.len(), 100);
        let batch = release(&mut feed, &found);
        queue.enqueue(batch).await.unwrap();
    }
    let mut all = drain(queue).await;
    all.sort_unstable();
    assert_eq!(all, [(7, 1), (8, 1), (9, 1)]);
    while queue.purge(i64::MAX).await.unwrap() > 0 {}
    assert!(queue.webhooks().await.unwrap().iter().all(|books| books.delivered == 1 && books.held == 0));
}

async fn contradictions_about_held_events_are_refused(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    let first = feed.holding(&[(1, &[7]), (2, &[7])]);
    queue.enqueue(first.clone()).await.unwrap();
    let before = queue.webhooks().await.unwrap();
    let found = held(queue).await;
    let check = async |batch: Batch, said: &str| assert_bug(queue.enqueue(batch).await, said);
    check(first, "is held already").await;
    check(feed.holding(&[(1, &[])]), "nobody holds the held event").await;
    check(feed.holding(&[(1, &[9])]), "webhook 9 is not registered").await;
    check(feed.holding(&[(1, &[7, 7])]), "holds the event at 0:0/190:0 twice").await;
    let release =
        |released: Vec<HeldRef>| Batch { released, progress: Some(feed.progress()), ..Batch::default() };
    let unknown = HeldRef { number: 99, ..found[0].held };
    check(release(vec![unknown]), "there is no held event 7/99").await;
    let other = HeldRef { webhook: WebhookId(8), ..found[0].held };
    check(release(vec![other]), "there is no held event 8/").await;
    check(release(vec![found[0].held, found[0].held]), "was released twice").await;
    check(Batch { progress: None, ..release(vec![found[0].held]) }, "without progress").await;
    assert_bug(queue.number_held_range(found[0].held, 1).await, "is no range");
    assert_eq!(queue.webhooks().await.unwrap(), before);
    queue.enqueue(release(vec![found[0].held])).await.unwrap();
    check(release(vec![found[0].held]), "there is no held event 7/").await;
    // what is not published is not there
    let mut feed = Feed::after(1000, &[]);
    queue.enqueue(feed.holding_part(&[(1, &[7])], 0, false)).await.unwrap();
    let next = HeldRef { number: found[1].held.number + 1, ..found[1].held };
    let early = Batch { released: vec![next], progress: Some(feed.progress()), ..Batch::default() };
    check(early, "there is no held event").await;
}

async fn held_events_beyond_the_backlog_become_a_range(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    queue.register(vec![limited(800)]).await.unwrap();
    let mut feed = Feed::new();
    // what waits and what is dead counts as well
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7])])).await.unwrap();
    queue.settle(vec![dead(claim(queue, 1).await.remove(0))]).await.unwrap();
    let lanes: [(u64, &[u64]); 10] = std::array::from_fn(|lane| (lane as u64, &[7][..]));
    queue.enqueue(feed.holding(&lanes)).await.unwrap();
    let found = held(queue).await;
    assert_eq!(counts(&found), [0, 0, 0, 0, 0, 5]);
    let HeldWhat::Range { last, .. } = found[5].what else { unreachable!() };
    assert_eq!((found[5].position.ordinal, last.ordinal), (5, 9));
    // the range goes on over transactions
    queue.enqueue(feed.holding(&lanes[..2])).await.unwrap();
    let found = held(queue).await;
    assert_eq!(counts(&found), [0, 0, 0, 0, 0, 7]);
    let HeldWhat::Range { last, .. } = found[5].what else { unreachable!() };
    assert_eq!((last.commit_lsn, last.ordinal), (feed.progress().commit_lsn, 1));
    let books = standing(queue).await;
    assert_eq!((books.held, books.held_bytes, books.held_beyond_limit), (12, 500, 7));
    // deliveries find no room either: the limit is one
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    assert_eq!(standing(queue).await.dead, 2);
    // an eighth has to be free before anything is kept again
    let release = |released: &[Held]| Batch {
        released: released.iter().map(|one| one.held).collect(),
        progress: Some(feed.progress()),
        ..Batch::default()
    };
    queue.enqueue(release(&found[..1])).await.unwrap();
    queue.enqueue(feed.holding(&lanes[..1])).await.unwrap();
    assert_eq!(counts(&held(queue).await), [0, 0, 0, 0, 8]);
    let release = Batch { progress: Some(feed.progress()), ..release_of(&found[1..2]) };
    queue.enqueue(release).await.unwrap();
    queue.enqueue(feed.holding(&lanes[..1])).await.unwrap();
    assert_eq!(counts(&held(queue).await), [0, 0, 0, 8, 0], "behind the range, for it came later");
    queue.enqueue(feed.holding(&lanes[..3])).await.unwrap();
    assert_eq!(counts(&held(queue).await), [0, 0, 0, 8, 0, 0, 2]);
}

fn release_of(held: &[Held]) -> Batch {
    Batch { released: held.iter().map(|one| one.held).collect(), ..Batch::default() }
}

async fn a_range_waits_for_its_turn_and_its_numbers(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    queue.register(vec![limited(250)]).await.unwrap();
    let mut feed = Feed::new();
    let lanes: [(u64, &[u64]); 5] = [(1, &[7]); 5];
    queue.enqueue(feed.holding(&lanes)).await.unwrap();
    let found = held(queue).await;
    assert_eq!(counts(&found), [0, 0, 3]);
    let range = found[2].held;
    assert_bug(queue.number_held_range(range, 1).await, "is held before");
    let batch = release(&mut feed, &found[..2]);
    queue.enqueue(batch).await.unwrap();
    assert_bug(queue.number_held_range(range, 4).await, "got number 4 where 3 was to come");
    assert_bug(queue.number_held_range(HeldRef { number: 99, ..range }, 3).await, "is held before");
    let as_event = Batch { progress: Some(feed.progress()), ..release_of(&found[2..]) };
    assert_bug(queue.enqueue(as_event).await, "was released without numbers");
    queue.number_held_range(range, 3).await.unwrap();
    assert_bug(queue.number_held_range(range, 6).await, "there is no held event");
    let books = standing(queue).await;
    assert_eq!((books.next_sequence, books.dead, books.pending), (6, 3, 2));
    assert_eq!((books.held, books.held_bytes, books.held_beyond_limit), (0, 0, 0));
    let ranges = queue.ranges(None).await.unwrap();
    let HeldWhat::Range { last, .. } = found[2].what else { unreachable!() };
    assert_eq!((ranges[0].first, ranges[0].last, ranges[0].state), (3, 5, State::Dead));
    assert_eq!((ranges[0].from, ranges[0].to), (Some(found[2].position), Some(last)));
    // what comes next goes on behind it
    let mut feed = Feed::after(200, &[(7, 6)]);
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    assert_eq!(standing(queue).await.next_sequence, 7);
    // not while a transaction is half enqueued: its numbers are given already
    queue.enqueue(feed.holding(&[(1, &[7][..]); 3])).await.unwrap();
    let found = held(queue).await;
    let HeldWhat::Range { .. } = found[0].what else { panic!("{found:?}") };
    queue.enqueue(feed.part(&[(1, &[7])], 0, false)).await.unwrap();
    assert_bug(queue.number_held_range(found[0].held, 7).await, "in the middle of a transaction");
    queue.discard_unfinished().await.unwrap();
    queue.number_held_range(found[0].held, 7).await.unwrap();
    assert_eq!(standing(queue).await.next_sequence, 10);
}

async fn what_was_held_is_never_turned_away(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    queue.register(vec![limited(1000)]).await.unwrap();
    let mut feed = Feed::new();
    queue.enqueue(feed.holding(&[(1, &[7][..]); 20])).await.unwrap();
    let found = held(queue).await;
    assert_eq!(counts(&found)[10], 10);
    // bodies are larger than what was held
    feed.body_bytes = 300;
    let batch = release(&mut feed, &found[..10]);
    queue.enqueue(batch).await.unwrap();
    let books = standing(queue).await;
    assert_eq!((books.pending, books.dead), (10, 0), "the backlog was over its limit, but they were there");
    assert_eq!(drain(queue).await.len(), 10);
}

async fn held_events_are_dropped_only_by_people(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    queue.register(vec![limited(150_000), record(8)]).await.unwrap();
    let mut feed = Feed::new();
    let lanes: Vec<(u64, &[u64])> = (0..2000).map(|lane| (lane, &[7, 8][..])).collect();
    queue.enqueue(feed.holding(&lanes)).await.unwrap();
    let found = held(queue).await;
    while queue.purge(i64::MAX).await.unwrap() > 0 {}
    queue.discard_unfinished().await.unwrap();
    for records in [vec![WebhookRecord { enabled: false, ..limited(150_000) }, record(8)], vec![]] {
        queue.register(records).await.unwrap();
        assert_eq!(standing(queue).await.held, 2000);
    }
    queue.register(vec![limited(150_000), record(8)]).await.unwrap();
    assert_eq!(queue.drop_held(SEVEN).await.unwrap(), 2000);
    assert_eq!(queue.drop_held(SEVEN).await.unwrap(), 0);
    assert!(held(queue).await.is_empty());
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].held, books[0].held_bytes, books[0].held_beyond_limit), (0, 0, 0));
    assert_eq!((books[0].held_dropped, books[0].next_sequence, books[1].held), (2000, 1, 2000));
    // the other still has all of it
    let others = queue.held(WebhookId(8), None, usize::MAX).await.unwrap();
    let whole = |one: &Held| matches!(&one.what, HeldWhat::Event { content, .. } if content.len() == 100);
    assert!(others.len() == 2000 && others.iter().all(whole));
    // whoever had read it before is told to read again; that is nobody's bug
    let release = Batch { progress: Some(feed.progress()), ..release_of(&found[..1]) };
    let error = queue.enqueue(release).await.unwrap_err();
    assert!(matches!(error, Error::Storage { action: "release held events", .. }), "{error:?}");
    let range = found.last().unwrap().held;
    let error = queue.number_held_range(range, 1).await.unwrap_err();
    assert!(matches!(error, Error::Storage { .. }), "{error:?}");
    queue.enqueue(feed.holding(&[(1, &[7])])).await.unwrap();
    assert!(held(queue).await[0].held > range);
}

async fn a_deleted_webhook_holds_nothing(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    queue.enqueue(feed.holding(&[(1, &[7]), (2, &[7])])).await.unwrap();
    queue.mark_broken(SEVEN, Some("no such field".into())).await.unwrap();
    // some are on their way
    queue.enqueue(feed.holding_part(&[(3, &[7])], 0, false)).await.unwrap();
    assert_eq!(queue.delete_webhook(SEVEN).await.unwrap(), 3);
    queue.enqueue(feed.holding_part(&[(4, &[7])], 1, true)).await.unwrap();
    queue.enqueue(feed.holding(&[(5, &[7])])).await.unwrap();
    while queue.purge(i64::MAX).await.unwrap() > 0 {}
    register(queue, &[7]).await;
    let books = standing(queue).await;
    assert_eq!((books.held, books.held_bytes, books.held_dropped, books.dropped), (0, 0, 5, 1));
    assert_eq!(books.broken, None);
    assert!(held(queue).await.is_empty());
}

async fn a_broken_webhook_says_why_until_it_is_mended(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    let reason = "field 'Status' is gone".to_owned();
    queue.mark_broken(SEVEN, Some(reason.clone())).await.unwrap();
    let books = standing(queue).await;
    assert_eq!(
        (books.broken.as_deref(), books.state),
        (Some(&*reason), walhook::queue::WebhookState::Enabled)
    );
    assert_eq!(drain(queue).await, [(7, 1)], "what was enqueued goes on");
    // registering or enabling mends nothing
    register(queue, &[7]).await;
    queue.enable_webhook(SEVEN).await.unwrap();
    assert_eq!(standing(queue).await.broken, Some(reason));
    queue.mark_broken(SEVEN, None).await.unwrap();
    assert_eq!(standing(queue).await.broken, None);
    assert_bug(queue.mark_broken(WebhookId(9), None).await, "webhook 9 is not registered");
}
