//! The contract. Each part takes a fresh queue whose clock stands at the test's.

use super::make::{Feed, Turned, claim, dead, delivered, drain, end, numbers, record, register};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use walhook::change::{Datum, OldRow, Row, RowChange};
use walhook::delivery::{
    AcceptedGap, Batch, DeliveryNumber, LastTransaction, Quarantined, Settlement, State, StreamRecord,
};
use walhook::form::{BindingRecord, Lane, LaneRule};
use walhook::lsn::{Lsn, Position, Progress};
use walhook::queue::{DeliveryRef, Error, Filter, Place, Queue, StagedChange, WebhookState};
use walhook::webhook::WebhookId;

/// Makes a fresh queue with a clock.
pub(super) trait Factory: Fn(&Turned) -> Arc<dyn Queue> {}
impl<F: Fn(&Turned) -> Arc<dyn Queue>> Factory for F {}

/// All of it, for a backend.
pub(super) async fn conformance(make: impl Factory) {
    for_lanes(&make).await;
    for_claims(&make).await;
    for_books(&make).await;
    for_people(&make).await;
    for_streams(&make).await;
    super::holding::for_held(&make).await;
}

async fn for_lanes(make: &impl Factory) {
    a_lane_goes_one_at_a_time_and_lanes_go_in_parallel(make).await;
    a_retry_holds_its_lane_until_it_is_over(make).await;
    a_dead_letter_lets_its_lane_go_and_a_blocking_one_does_not(make).await;
    a_renamed_entry_waits_for_its_old_lane(make).await;
    an_entry_that_changes_its_lane_to_and_fro_waits_for_what_came_last(make).await;
    an_entry_waits_for_all_of_its_other_lanes(make).await;
    replays_of_a_lane_go_in_commit_order_and_wait_their_turn(make).await;
    a_delivery_dropped_while_it_is_claimed_stays_dropped(make).await;
}

async fn for_claims(make: &impl Factory) {
    claims_go_round_robin_within_their_allowances(make).await;
    voided_claims_come_again(make).await;
    due_wakes_for_everything_that_can_be_claimed(make).await;
    many_candidates_are_claimed_in_order_once(make).await;
}

async fn for_books(make: &impl Factory) {
    the_books_follow_every_change(make).await;
    a_webhook_that_is_not_served_keeps_its_backlog(make).await;
    a_deleted_webhook_never_reuses_a_number(make).await;
    a_backlog_over_its_limit_becomes_a_dead_range(make).await;
}

async fn for_people(make: &impl Factory) {
    lists_show_what_fits_newest_first(make).await;
    what_is_purged_leaves_merged_ranges(make).await;
    one_that_is_finished_can_be_purged(make).await;
    what_comes_while_a_webhook_is_being_deleted_stays(make).await;
}

async fn for_streams(make: &impl Factory) {
    an_unfinished_transaction_does_not_count(make).await;
    a_lane_that_is_freed_while_its_transaction_is_unfinished_goes_on(make).await;
    contradictions_are_refused_and_change_nothing(make).await;
    streams_gaps_and_bindings_are_remembered(make).await;
    staged_changes_come_back_by_entry(make).await;
}

async fn a_lane_goes_one_at_a_time_and_lanes_go_in_parallel(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    let mut feed = Feed::new();
    register(queue, &[7]).await;
    let durable = queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7]), (1, &[7])])).await.unwrap();
    assert_eq!(durable.unwrap().end_lsn(), feed.progress().end_lsn);
    let mut claims = claim(queue, 10).await;
    assert_eq!(numbers(&claims), [(7, 1), (7, 2)], "3 is in the lane of 1");
    assert_eq!(claims[0].body.head, Bytes::from("head 7/1;"));
    assert_eq!(claims[0].body.tail.len(), 100);
    assert_eq!((claims[0].attempt, claims[0].failures, claims[0].replay), (1, 0, false));
    queue.settle(vec![delivered(claims.remove(0))]).await.unwrap();
    assert_eq!(numbers(&claim(queue, 10).await), [(7, 3)]);
}

async fn a_retry_holds_its_lane_until_it_is_over(make: &impl Factory) {
    let time = Turned::new();
    let queue = make(&time);
    let queue = &*queue;
    register(queue, &[7]).await;
    queue.enqueue(Feed::new().transaction(&[(1, &[7]), (1, &[7])])).await.unwrap();
    let first = claim(queue, 10).await.remove(0);
    let pause = Duration::from_secs(5);
    queue.settle(vec![end(first, 500, Settlement::Retry { after: pause })]).await.unwrap();
    assert!(claim(queue, 10).await.is_empty());
    time.advance(pause);
    queue.due().await;
    let again = claim(queue, 10).await.remove(0);
    assert_eq!((again.number.sequence, again.attempt, again.failures), (1, 2, 1));
    queue.settle(vec![delivered(again)]).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 2)]);
}

async fn a_dead_letter_lets_its_lane_go_and_a_blocking_one_does_not(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (1, &[7]), (1, &[7])])).await.unwrap();
    let first = claim(queue, 1).await.remove(0);
    queue.settle(vec![dead(first)]).await.unwrap();
    let second = claim(queue, 1).await.remove(0);
    assert_eq!(second.number.sequence, 2);
    queue.settle(vec![end(second, 400, Settlement::Blocking)]).await.unwrap();
    assert!(claim(queue, 1).await.is_empty());
    let only = |sequence| Filter { sequence: Some(sequence), ..Filter::default() };
    assert_eq!(queue.drop_deliveries(only(2)).await.unwrap(), 1);
    assert_eq!(drain(queue).await, [(7, 3)]);
}

async fn a_renamed_entry_waits_for_its_old_lane(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (1, &[7]), (2, &[7])])).await.unwrap();
    let mut renamed = feed.transaction(&[(2, &[7]), (2, &[7]), (3, &[7])]);
    renamed.events[0].behind = vec![Lane(1)];
    queue.enqueue(renamed).await.unwrap();
    let mut claims = claim(queue, 10).await;
    assert_eq!(numbers(&claims), [(7, 1), (7, 3), (7, 6)]);
    queue.settle(vec![delivered(claims.remove(1))]).await.unwrap();
    assert!(claim(queue, 10).await.is_empty(), "4 is the first of its lane, and waits for 2 of another");
    queue.settle(vec![delivered(claims.remove(0))]).await.unwrap();
    let second = claim(queue, 10).await;
    assert_eq!(numbers(&second), [(7, 2)]);
    queue.settle(second.into_iter().map(delivered).collect()).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 4), (7, 5)]);
}

/// An entry got the key of one that was deleted, and waited for the last delivery of both, and for no other. So when that
/// one had ended, or an operator had dropped it, it went before the rest.
async fn an_entry_waits_for_all_of_its_other_lanes(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (3, &[7]), (3, &[7]), (3, &[7])])).await.unwrap();
    let mut batch = feed.transaction(&[(2, &[7]), (2, &[7]), (3, &[7])]);
    for event in &mut batch.events[..2] {
        event.behind = vec![Lane(1), Lane(3)];
    }
    queue.enqueue(batch).await.unwrap();
    let mut claims = claim(queue, 10).await;
    assert_eq!(numbers(&claims), [(7, 1), (7, 2)]);
    let dropped = Filter { sequence: Some(4), ..Filter::default() };
    assert_eq!(queue.drop_deliveries(dropped).await.unwrap(), 1);
    assert!(claim(queue, 10).await.is_empty(), "5 waits for 1 and 2, which are claimed");
    queue.settle(vec![delivered(claims.remove(1))]).await.unwrap();
    let third = claim(queue, 10).await;
    assert_eq!(numbers(&third), [(7, 3)]);
    queue.settle(third.into_iter().map(delivered).collect()).await.unwrap();
    let seventh = claim(queue, 10).await;
    assert_eq!(numbers(&seventh), [(7, 7)], "what came later in the other lane is not waited for");
    queue.settle(claims.into_iter().map(dead).collect()).await.unwrap();
    let fifth = claim(queue, 10).await;
    assert_eq!(numbers(&fifth), [(7, 5)]);
    queue.settle(seventh.into_iter().chain(fifth).map(delivered).collect()).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 6)]);
}

/// The key of its table is changed, and changed back, while all that it had waits.
async fn an_entry_that_changes_its_lane_to_and_fro_waits_for_what_came_last(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (1, &[7]), (4, &[7])])).await.unwrap();
    let mut batch = feed.transaction(&[(2, &[7]), (1, &[7]), (3, &[7]), (3, &[7]), (5, &[7])]);
    let behind: [&[u64]; 5] = [&[1], &[2], &[2, 1, 6], &[2, 1, 6], &[6, 5]];
    for (event, behind) in batch.events.iter_mut().zip(behind) {
        event.behind = behind.iter().copied().map(Lane).collect();
    }
    queue.enqueue(batch).await.unwrap();
    let mut claims = claim(queue, 10).await;
    assert_eq!(numbers(&claims), [(7, 1), (7, 3), (7, 8)], "others do not wait");
    queue.settle(claims.drain(1..).map(delivered).collect()).await.unwrap();
    for next in [2, 4, 5, 6, 7] {
        queue.settle(claims.drain(..).map(delivered).collect()).await.unwrap();
        claims = claim(queue, 10).await;
        assert_eq!(numbers(&claims), [(7, next)]);
    }
}

async fn replays_of_a_lane_go_in_commit_order_and_wait_their_turn(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    queue.enqueue(Feed::new().transaction(&[(1, &[7][..]); 5])).await.unwrap();
    for _ in 0..3 {
        let claims = claim(queue, 1).await;
        queue.settle(claims.into_iter().map(dead).collect()).await.unwrap();
    }
    let fourth = claim(queue, 1).await.remove(0);
    assert_eq!(fourth.number.sequence, 4);
    assert_eq!(queue.replay(Filter::default()).await.unwrap(), 3);
    assert!(claim(queue, 10).await.is_empty(), "4 holds the lane");
    queue.settle(vec![delivered(fourth)]).await.unwrap();
    let first = claim(queue, 10).await.remove(0);
    assert_eq!((first.number.sequence, first.attempt, first.failures, first.replay), (1, 2, 0, true));
    queue.settle(vec![delivered(first)]).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 2), (7, 3), (7, 5)]);
}

async fn a_delivery_dropped_while_it_is_claimed_stays_dropped(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    queue.enqueue(Feed::new().transaction(&[(1, &[7]), (1, &[7])])).await.unwrap();
    let first = claim(queue, 1).await.remove(0);
    let number = first.number;
    let filter = Filter { sequence: Some(1), ..Filter::default() };
    assert_eq!(queue.drop_deliveries(filter).await.unwrap(), 1);
    assert!(claim(queue, 10).await.is_empty(), "two claims of one lane");
    queue.settle(vec![delivered(first)]).await.unwrap();
    let detail = queue.delivery(DeliveryRef::Number(number)).await.unwrap().unwrap();
    assert_eq!((detail.summary.state, detail.attempts.len()), (State::Dropped, 1));
    assert_eq!(drain(queue).await, [(7, 2)]);
    let books = queue.webhooks().await.unwrap().remove(0);
    assert_eq!((books.pending, books.delivered, books.dropped), (0, 1, 1));
}

async fn claims_go_round_robin_within_their_allowances(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[1, 2, 3]).await;
    let mut feed = Feed::new();
    for lane in 0..10 {
        queue.enqueue(feed.transaction(&[(lane, &[1, 2, 3])])).await.unwrap();
    }
    let claims = queue.claim(7, &|webhook| if webhook.0 == 2 { 1 } else { 100 }).await.unwrap();
    assert_eq!(numbers(&claims), [(1, 1), (2, 1), (3, 1), (1, 2), (3, 2), (1, 3), (3, 3)]);
    let claims = queue.claim(2, &|_| 100).await.unwrap();
    assert_eq!(numbers(&claims), [(1, 4), (2, 2)], "goes on behind the webhook that came last");
    assert!(queue.claim(5, &|_| 0).await.unwrap().is_empty());
}

async fn voided_claims_come_again(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    queue.enqueue(Feed::new().transaction(&[(1, &[7]), (2, &[7])])).await.unwrap();
    let claims = claim(queue, 10).await;
    assert!(claim(queue, 10).await.is_empty());
    queue.void_claims().await.unwrap();
    let again = claim(queue, 10).await;
    assert_eq!(numbers(&claims), numbers(&again));
    assert_eq!(again[0].attempt, 1, "what was not settled does not count");
}

async fn due_wakes_for_everything_that_can_be_claimed(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (1, &[7])])).await.unwrap();
    queue.due().await;
    let first = claim(queue, 10).await.remove(0);
    queue.settle(vec![dead(first)]).await.unwrap();
    queue.due().await;
    let mut second = dead(claim(queue, 10).await.remove(0));
    second.suspend = Some("gone".into());
    queue.settle(vec![second]).await.unwrap();
    queue.replay(Filter::default()).await.unwrap();
    assert!(claim(queue, 10).await.is_empty(), "suspended");
    queue.enable_webhook(WebhookId(7)).await.unwrap();
    queue.due().await;
    assert_eq!(numbers(&claim(queue, 10).await), [(7, 1)]);
}

async fn many_candidates_are_claimed_in_order_once(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    let lanes: Vec<(u64, &[u64])> = (0..6000).map(|lane| (lane, &[7][..])).collect();
    queue.enqueue(feed.transaction(&lanes)).await.unwrap();
    let mut claims = Vec::new();
    loop {
        let some = claim(queue, 100).await;
        if some.is_empty() {
            break;
        }
        claims.extend(some);
    }
    let in_order: Vec<_> = (1..=6000).map(|sequence| (7, sequence)).collect();
    assert_eq!(numbers(&claims), in_order);
    // more than memory keeps become due at once
    queue.settle(claims.into_iter().map(dead).collect()).await.unwrap();
    assert_eq!(queue.replay(Filter::default()).await.unwrap(), 6000);
    assert_eq!(drain(queue).await, in_order);
}

async fn the_books_follow_every_change(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7, 8]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7, 8]), (2, &[7]), (3, &[7])])).await.unwrap();
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].pending, books[1].pending, books[0].next_sequence), (3, 1, 4));
    assert_eq!(books[0].pending_bytes, 3 * (100 + 9));
    assert_eq!(books[0].oldest_committed_at_us, Some(1_600_000_000_000_100));
    let claims = queue.claim(3, &|webhook| if webhook.0 == 7 { 3 } else { 0 }).await.unwrap();
    let [one, two, three] = <[_; 3]>::try_from(claims).unwrap();
    queue
        .settle(vec![dead(one), end(two, 503, Settlement::Retry { after: Duration::from_secs(9) })])
        .await
        .unwrap();
    let books = queue.webhooks().await.unwrap().remove(0);
    assert_eq!((books.pending, books.dead, books.failures), (2, 1, 2));
    assert_eq!(books.failing_since_us, Some(1_700_000_000_000_000));
    assert_eq!(books.last_error.as_deref(), Some("503 Service Unavailable"));
    queue.settle(vec![delivered(three)]).await.unwrap();
    let books = queue.webhooks().await.unwrap().remove(0);
    assert_eq!((books.pending, books.dead, books.delivered, books.failures), (1, 1, 1, 0));
    assert_eq!((books.failing_since_us, books.last_error), (None, None));
}

async fn a_webhook_that_is_not_served_keeps_its_backlog(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    for (records, state) in [
        (vec![walhook::queue::WebhookRecord { enabled: false, ..record(7) }], WebhookState::Disabled),
        (vec![], WebhookState::Orphaned),
    ] {
        let standings = queue.register(records).await.unwrap();
        assert_eq!((standings[0].state, standings[0].pending), (state, 1));
        assert!(claim(queue, 1).await.is_empty());
    }
    register(queue, &[7]).await;
    assert_eq!(drain(queue).await, [(7, 1)]);
}

async fn a_deleted_webhook_never_reuses_a_number(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (1, &[7])])).await.unwrap();
    assert_eq!(queue.delete_webhook(WebhookId(7)).await.unwrap(), 2);
    assert!(queue.webhooks().await.unwrap().is_empty());
    assert!(claim(queue, 1).await.is_empty());
    // one that was on its way
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    register(queue, &[7]).await;
    let books = queue.webhooks().await.unwrap().remove(0);
    assert_eq!((books.next_sequence, books.pending, books.dropped), (4, 0, 3));
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 4)]);
    let range = queue.ranges(None).await.unwrap().remove(0);
    assert_eq!((range.first, range.last, range.state), (3, 3, State::Dropped));
}

/// The story: `webhooks delete` and `deliveries drop` go through a backlog in steps, and looked at each step how far it
/// went by then. A webhook that was registered anew before the last step lost what came for it, and a drop beside a
/// busy table had no end. Now they go as far as the backlog went when they began.
async fn what_comes_while_a_webhook_is_being_deleted_stays(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    let backlog: Vec<(u64, &[u64])> = (0..6000).map(|lane| (lane, &[7][..])).collect();
    queue.enqueue(feed.transaction(&backlog)).await.unwrap();
    let deleting = queue.delete_webhook(WebhookId(7));
    let anew = async {
        // not before it is marked as deleted
        while !queue.webhooks().await.unwrap().is_empty() {}
        register(queue, &[7]).await;
        queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    };
    let (dropped, ()) = tokio::join!(deleting, anew);
    assert_eq!(dropped.unwrap(), 6000);
    assert_eq!(drain(queue).await, [(7, 6001)]);
}

async fn a_backlog_over_its_limit_becomes_a_dead_range(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    let limited = walhook::queue::WebhookRecord { backlog_bytes_max: 1000, ..record(7) };
    queue.register(vec![limited, record(8)]).await.unwrap();
    let mut feed = Feed::new();
    for lane in 0..20 {
        queue.enqueue(feed.transaction(&[(lane, &[7, 8])])).await.unwrap();
    }
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].pending, books[0].dead, books[0].next_sequence), (9, 11, 21));
    assert_eq!(books[1].pending, 20);
    let ranges = queue.ranges(Some(WebhookId(7))).await.unwrap();
    assert_eq!(ranges.len(), 1);
    assert_eq!((ranges[0].first, ranges[0].last, ranges[0].state), (10, 20, State::Dead));
    assert_eq!(ranges[0].from.unwrap().commit_lsn, Lsn(1000));
    assert_eq!(ranges[0].to.unwrap().commit_lsn, Lsn(2000));
    drain(queue).await;
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 21)]);
    let filter = Filter { webhook: Some(WebhookId(7)), states: vec![State::Dead], ..Filter::default() };
    assert_eq!(queue.drop_deliveries(filter).await.unwrap(), 11);
    let books = queue.webhooks().await.unwrap().remove(0);
    assert_eq!((books.delivered, books.dead, books.dropped), (10, 0, 11));
}

async fn lists_show_what_fits_newest_first(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7, 8]).await;
    let mut feed = Feed::new();
    for lane in 0..6 {
        queue.enqueue(feed.transaction(&[(lane, &[7, 8])])).await.unwrap();
    }
    let claims = queue.claim(2, &|webhook| if webhook.0 == 7 { 2 } else { 0 }).await.unwrap();
    queue.settle(claims.into_iter().map(dead).collect()).await.unwrap();
    let check = async |filter: Filter, limit, expected: &[(u64, u64)]| {
        let found = queue.deliveries(filter.clone(), limit).await.unwrap();
        let found: Vec<_> =
            found.iter().map(|found| (found.number.webhook.0, found.number.sequence)).collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    let any = Filter::default;
    check(any(), 3, &[(8, 6), (7, 6), (8, 5)]).await;
    check(Filter { webhook: Some(WebhookId(7)), ..any() }, 2, &[(7, 6), (7, 5)]).await;
    check(Filter { states: vec![State::Dead, State::Blocking], ..any() }, 9, &[(7, 2), (7, 1)]).await;
    check(Filter { entry_id: Some("INC4".into()), ..any() }, 9, &[(8, 5), (7, 5)]).await;
    check(Filter { form: Some("other".into()), ..any() }, 9, &[]).await;
    check(Filter { sequence: Some(3), ..any() }, 9, &[(8, 3), (7, 3)]).await;
    check(Filter { since_us: Some(1_600_000_000_000_600), ..any() }, 9, &[(8, 6), (7, 6)]).await;
    check(Filter { until_us: Some(1_600_000_000_000_200), ..any() }, 9, &[(8, 1), (7, 1)]).await;
    let number = DeliveryNumber { webhook: WebhookId(7), sequence: 2 };
    let detail = queue.delivery(DeliveryRef::Number(number)).await.unwrap().unwrap();
    assert_eq!(detail.summary.last_outcome.as_deref(), Some("400 Bad Request"));
    assert_eq!((detail.attempts.len(), &detail.body.head), (1, &Bytes::from("head 7/2;")));
    let same = queue.delivery(DeliveryRef::Id(detail.summary.id)).await.unwrap().unwrap();
    assert_eq!(same.summary, detail.summary);
    let same = queue.delivery(DeliveryRef::Place(detail.summary.place)).await.unwrap().unwrap();
    assert_eq!(same, detail);
    for nowhere in [0, detail.summary.place.0 + 20, u64::MAX] {
        assert_eq!(queue.delivery(DeliveryRef::Place(Place(nowhere))).await.unwrap(), None);
    }
}

async fn one_that_is_finished_can_be_purged(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7]), (3, &[7]), (4, &[7])])).await.unwrap();
    let mut claims = claim(queue, 3).await;
    let third = claims.pop().unwrap();
    queue.settle(claims.into_iter().map(delivered).chain([dead(third)]).collect()).await.unwrap();
    let all = queue.deliveries(Filter::default(), 10).await.unwrap();
    let places: Vec<Place> = all.iter().rev().map(|one| one.place).collect();
    let purged = async |place| queue.purge_one(place).await.unwrap();
    // neither what waits nor a dead letter goes, and nothing goes twice
    assert!(!purged(places[3]).await && !purged(places[2]).await && !purged(Place(u64::MAX)).await);
    assert!(purged(places[0]).await && !purged(places[0]).await);
    let left = queue.deliveries(Filter::default(), 10).await.unwrap();
    assert_eq!(left.iter().map(|one| one.place).collect::<Vec<_>>(), [places[3], places[2], places[1]]);
    let ranges = queue.ranges(None).await.unwrap();
    let ranges: Vec<_> = ranges.iter().map(|range| (range.first, range.last, range.state)).collect();
    assert_eq!(ranges, [(1, 1, State::Delivered)]);
    assert_eq!(drain(queue).await, [(7, 4)]);
    for place in [places[1], places[3]] {
        assert!(purged(place).await);
    }
    let left = queue.deliveries(Filter::default(), 10).await.unwrap();
    assert_eq!(left.iter().map(|one| one.place).collect::<Vec<_>>(), [places[2]]);
}

async fn what_is_purged_leaves_merged_ranges(make: &impl Factory) {
    let time = Turned::new();
    let queue = make(&time);
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    for lane in 0..10 {
        queue.enqueue(feed.transaction(&[(lane, &[7])])).await.unwrap();
    }
    let mut claims = claim(queue, 10).await;
    let fifth = claims.remove(4);
    queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
    assert_eq!(queue.purge(time.now_us()).await.unwrap(), 0, "not before their time");
    while queue.purge(time.now_us() + 1).await.unwrap() > 0 {}
    let ranges = |ranges: Vec<walhook::queue::SequenceRange>| -> Vec<_> {
        ranges.iter().map(|range| (range.first, range.last, range.state)).collect()
    };
    let found = queue.ranges(None).await.unwrap();
    assert_eq!(ranges(found), [(1, 4, State::Delivered), (6, 10, State::Delivered)]);
    queue.settle(vec![dead(fifth)]).await.unwrap();
    assert_eq!(queue.purge(i64::MAX).await.unwrap(), 0, "a dead letter stays");
    queue.replay(Filter::default()).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 5)]);
    assert_eq!(queue.purge(i64::MAX).await.unwrap(), 1);
    assert_eq!(ranges(queue.ranges(None).await.unwrap()), [(1, 10, State::Delivered)]);
    assert!(queue.deliveries(Filter::default(), 10).await.unwrap().is_empty());
    assert_eq!(queue.webhooks().await.unwrap()[0].delivered, 10);
}

async fn an_unfinished_transaction_does_not_count(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    let stored = queue.webhooks().await.unwrap();
    let lanes: Vec<(u64, &[u64])> = (0..3000).map(|lane| (lane, &[7][..])).collect();
    assert_eq!(queue.enqueue(feed.part(&lanes, 0, false)).await.unwrap(), None);
    assert_eq!(queue.webhooks().await.unwrap(), stored);
    assert_eq!(queue.deliveries(Filter::default(), 10).await.unwrap().len(), 1);
    // a dead letter that is replayed behind what never comes to count goes all the same
    queue.settle(claim(queue, 10).await.into_iter().map(dead).collect()).await.unwrap();
    assert_eq!(queue.replay(Filter::default()).await.unwrap(), 1);
    queue.discard_unfinished().await.unwrap();
    assert_eq!(drain(queue).await, [(7, 1)]);
    let mut feed = Feed::after(100, &[(7, 2)]);
    queue.enqueue(feed.part(&lanes, 0, false)).await.unwrap();
    assert!(claim(queue, 10).await.is_empty());
    let mut last = feed.part(&[], 3000, true);
    last.quarantined.push(Quarantined {
        position: Position { epoch: 0, commit_lsn: Lsn(200), ordinal: 9 },
        form: None,
        reason: "odd".into(),
        bytes: Bytes::from_static(b"\x01"),
    });
    assert!(queue.enqueue(last.clone()).await.unwrap().is_some());
    assert_eq!(queue.quarantined().await.unwrap(), last.quarantined);
    let in_order: Vec<_> = (2..=3001).map(|sequence| (7, sequence)).collect();
    assert_eq!(drain(queue).await, in_order);
}

/// A delivery of a large transaction that was not complete yet waited in its lane; the one before it ended; the
/// delivery became ready, which nobody noted, and after the transaction was complete it lay there until the next
/// start. The simulation found it. What becomes ready meanwhile is remembered with the transaction's part.
async fn a_lane_that_is_freed_while_its_transaction_is_unfinished_goes_on(make: &impl Factory) {
    let (queue, mut feed) = (make(&Turned::new()), Feed::new());
    register(&*queue, &[7]).await;
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    let first = claim(&*queue, 10).await;
    queue.enqueue(feed.part(&[(1, &[7]), (2, &[7])], 0, false)).await.unwrap();
    queue.settle(first.into_iter().map(delivered).collect()).await.unwrap();
    assert!(claim(&*queue, 10).await.is_empty(), "not before it is complete");
    queue.enqueue(feed.part(&[], 2, true)).await.unwrap();
    assert_eq!(drain(&*queue).await, [(7, 2), (7, 3)]);
}

async fn contradictions_are_refused_and_change_nothing(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    register(queue, &[7]).await;
    let mut feed = Feed::new();
    let first = feed.transaction(&[(1, &[7])]);
    queue.enqueue(first.clone()).await.unwrap();
    let check = async |batch: Batch, said: &str| match queue.enqueue(batch).await {
        Err(Error::Bug { reason }) => assert!(reason.contains(said), "{reason}"),
        other => panic!("{other:?}"),
    };
    check(first.clone(), "7/1 came where 7/2 was to come").await;
    let mut again = first;
    again.events[0].deliveries[0].sequence = 2;
    check(again, "was enqueued before").await;
    check(Feed::new().transaction(&[(1, &[9])]), "webhook 9 is not registered").await;
    let back = Progress { commit_lsn: Lsn(1), end_lsn: Lsn(1) };
    check(Batch { progress: Some(back), ..Batch::default() }, "progress went back").await;
    assert_eq!(queue.webhooks().await.unwrap()[0].next_sequence, 2);
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    assert_eq!(drain(queue).await, [(7, 1), (7, 2)]);
}

fn last_of(xid: u32) -> LastTransaction {
    LastTransaction { xid, committed_at_us: 10 * i64::from(xid) }
}

/// Stays with idle positions, and goes with another commit or another stream.
async fn the_last_transaction_is_that_of_the_position(queue: &dyn Queue, last: LastTransaction) {
    let at = |commit_lsn: u64, end_lsn: u64, last: Option<LastTransaction>| {
        let progress = Some(Progress { commit_lsn: Lsn(commit_lsn), end_lsn: Lsn(end_lsn) });
        queue.enqueue(Batch { progress, last, ..Batch::default() })
    };
    assert_eq!(queue.last_transaction().await.unwrap(), None);
    at(100, 110, Some(last)).await.unwrap();
    assert_eq!(queue.last_transaction().await.unwrap(), Some(last));
    at(100, 120, None).await.unwrap();
    let mut stream = queue.stream().await.unwrap().unwrap();
    stream.progress.end_lsn = Lsn(105);
    queue.record_stream(stream.clone()).await.unwrap();
    assert_eq!(queue.last_transaction().await.unwrap(), Some(last));
    assert_eq!(queue.stream().await.unwrap(), Some(stream.clone()));
    at(130, 140, None).await.unwrap();
    assert_eq!(queue.last_transaction().await.unwrap(), None);
    at(150, 160, Some(last)).await.unwrap();
    stream.progress = Progress { commit_lsn: Lsn::ZERO, end_lsn: Lsn(170) };
    queue.record_stream(stream).await.unwrap();
    assert_eq!(queue.last_transaction().await.unwrap(), None);
}

async fn streams_gaps_and_bindings_are_remembered(make: &impl Factory) {
    let queue = make(&Turned::new());
    let queue = &*queue;
    assert_eq!(queue.stream().await.unwrap(), None);
    let mut record = StreamRecord {
        system_id: "7".into(),
        timeline: 1,
        database: "helpdesk".into(),
        slot: "walhook".into(),
        epoch: 0,
        creating: true,
        progress: Progress::default(),
    };
    queue.record_stream(record.clone()).await.unwrap();
    assert_eq!(queue.stream().await.unwrap(), Some(record.clone()));
    let progress = Progress { commit_lsn: Lsn(500), end_lsn: Lsn(600) };
    let durable = queue.enqueue(Batch { progress: Some(progress), ..Batch::default() }).await.unwrap();
    assert_eq!(durable.unwrap().end_lsn(), Lsn(600));
    record.progress = progress;
    assert_eq!(queue.stream().await.unwrap(), Some(record.clone()));
    let gap =
        AcceptedGap { epoch: 0, from: Lsn(600), to: Lsn(90), reason: "rewound".into(), accepted_at_us: 5 };
    let behind =
        StreamRecord { epoch: 1, progress: Progress { commit_lsn: Lsn(80), end_lsn: Lsn(90) }, ..record };
    queue.accept_gap(gap, behind.clone()).await.unwrap();
    assert_eq!(queue.stream().await.unwrap(), Some(behind));
    let progress = Progress { commit_lsn: Lsn(85), end_lsn: Lsn(95) };
    queue.enqueue(Batch { progress: Some(progress), ..Batch::default() }).await.unwrap();
    the_last_transaction_is_that_of_the_position(queue, last_of(95)).await;
    let binding = BindingRecord {
        form: "Incident".into(),
        relation: 16_384,
        schema: "helpdesk".into(),
        table: "incident".into(),
        columns: vec![("number".into(), 1), ("\"odd\"".into(), -7)],
        rules: vec![
            LaneRule { form: "Incident".into(), key: vec![("number".into(), 1), ("at".into(), 0)] },
            LaneRule { form: "HPD:\"Desk\"".into(), key: vec![("\"odd\"".into(), -7)] },
        ],
    };
    queue.record_binding(binding.clone()).await.unwrap();
    queue.record_binding(binding.clone()).await.unwrap();
    assert_eq!(queue.bindings().await.unwrap(), [binding]);
}

async fn staged_changes_come_back_by_entry(make: &impl Factory) {
    let queue = make(&Turned::new());
    let change = |ordinal: u64, form, key: u8| StagedChange {
        ordinal,
        form,
        key: vec![key],
        reading: 3,
        change: RowChange::Update {
            old: OldRow::Absent,
            new: [Datum::Text(&ordinal.to_string()), Datum::Unchanged].into_iter().collect::<Row>(),
        },
    };
    // the first change concerns two forms; entry 1 changes again later
    queue.stage(vec![change(0, 1, 1), change(0, 2, 1), change(1, 1, 2)]).await.unwrap();
    queue.stage(vec![change(2, 1, 1), change(3, 1, 3)]).await.unwrap();
    let ordinals = |entries: Vec<walhook::queue::StagedEntry>| -> Vec<_> {
        let ordinals = |entry: &walhook::queue::StagedEntry| -> Vec<u64> {
            entry.changes.iter().map(|change| change.ordinal).collect()
        };
        entries.iter().map(|entry| (entry.first, ordinals(entry))).collect()
    };
    let some = queue.staged(None, 1).await.unwrap();
    assert_eq!(some[0].changes[1].change, change(2, 1, 1).change);
    assert_eq!(ordinals(some), [(0, vec![0, 2]), (0, vec![0])]);
    assert_eq!(ordinals(queue.staged(Some(0), 1).await.unwrap()), [(1, vec![1])]);
    assert_eq!(ordinals(queue.staged(Some(0), 1 << 20).await.unwrap()), [(1, vec![1]), (3, vec![3])]);
    queue.discard_unfinished().await.unwrap();
    assert!(queue.staged(None, 1).await.unwrap().is_empty());
}
