//! Blocks and lists of arrivals: what comes back from their bytes, and what becomes of bytes that are none of theirs.

use super::arrived::{Arrived, read_list};
use super::block::{Block, Forming, Home};
use super::fault::Fault;
use super::index::{Effect, End, Index};
use super::shelf::{SHELF_BYTES, Shelf};
use crate::delivery::{Attempt, DeliveryId, NewDelivery, NewEvent, Outcome, Tail};
use crate::event::Verb;
use crate::form::Lane;
use crate::lsn::{Lsn, Position};
use crate::queue::Error;
use crate::webhook::WebhookId;
use bytes::Bytes;
use proptest::prelude::*;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An event with a delivery for each webhook; those with an odd number have a tail of their own.
fn event(ordinal: u64, webhooks: &[u64], body: &'static [u8]) -> NewEvent {
    let deliveries = webhooks.iter().map(|&webhook| NewDelivery {
        webhook: WebhookId(webhook),
        sequence: ordinal + 1,
        id: DeliveryId([webhook as u8; 16]),
        head: Bytes::from(format!("{webhook}/{ordinal}:")),
        tail: (webhook % 2) as usize,
    });
    NewEvent {
        position: Position { epoch: 1, commit_lsn: Lsn(u64::MAX - 7), ordinal },
        form: "HPD:Help Desk".into(),
        verb: Verb::Update,
        entry_id: format!("INC{ordinal}"),
        lane: Lane(ordinal.wrapping_sub(3)),
        behind: if ordinal.is_multiple_of(2) { vec![Lane(u64::MAX), Lane(7)] } else { Vec::new() },
        xid: 700,
        committed_at_us: -5,
        deliveries: deliveries.collect(),
        tails: vec![
            Tail { content_type: "application/json".into(), bytes: Bytes::from_static(body) },
            Tail { content_type: "text/plain".into(), bytes: Bytes::from_static(b"plain") },
        ],
        was_held: false,
    }
}

fn block() -> Block {
    let mut forming = Forming::default();
    forming.push(&event(0, &[4, 7, 9], b"first"), |_| true);
    // nothing of it is kept
    forming.push(&event(1, &[4, 7], b"second"), |_| false);
    forming.push(&event(2, &[4, 7, 9], b""), |number| number != 1);
    forming.push(&event(3, &[9], b"last"), |_| true);
    forming.finish(12)
}

/// Everything that a block says.
fn told(block: &Block) -> Vec<String> {
    let one = block.iter().map(|(delivery, event)| {
        let crate::delivery::Body { head, tail, content_type } = block.body(delivery);
        format!(
            "{} {}/{} {:?} {:?} {} {} {} {:?} {:?} {} {} {head:?}{tail:?} {content_type} {}",
            delivery.place,
            delivery.webhook,
            delivery.sequence,
            delivery.id,
            event.position,
            event.form,
            event.verb,
            event.entry_id,
            event.lane,
            event.behind,
            event.xid,
            event.committed_at_us,
            block.body_bytes(delivery),
        )
    });
    one.collect()
}

fn read_back(block: &Block) -> Block {
    let (events, bodies) = block.encode();
    Block::decode(block.id, &events, Some(bodies.into())).expect("it was encoded")
}

/// What the queue says of trouble with a file.
fn said(fault: Fault) -> Error {
    fault.at(Path::new("q.db"), "claim")
}

#[test]
fn a_block_comes_back_as_it_was() {
    let block = block();
    let places: Vec<u32> = block.iter().map(|(delivery, _)| delivery.place).collect();
    assert_eq!(places, [0, 1, 2, 3, 4, 5]);
    assert_eq!(told(&read_back(&block)), told(&block));
    let (delivery, event) = block.at(4).unwrap();
    assert_eq!((delivery.webhook, delivery.sequence, &*event.entry_id), (WebhookId(9), 3, "INC2"));
    assert_eq!(block.find(WebhookId(9), 3).unwrap().0.place, 4);
    assert!(block.find(WebhookId(7), 3).is_none() && block.at(6).is_none());
    let shares: Vec<_> = block.shares().into_iter().map(|(webhook, share)| (webhook.0, share)).collect();
    assert_eq!(shares, [(4, (1, 3)), (7, (1, 1)), (9, (1, 4))]);
}

#[test]
fn an_event_is_read_without_the_rest_of_its_block() {
    let stored = Connection::open_in_memory().unwrap();
    stored
        .execute_batch("create table content (block integer primary key, events blob, bodies blob) strict")
        .unwrap();
    let block = block();
    block.store_content(&stored).unwrap();
    let whole = told(&block);
    for (place, expected) in whole.iter().enumerate() {
        let one = Block::read_one(&stored, block.id, place as u32).unwrap().expect("it is there");
        assert!(told(&one).contains(expected), "{place}");
        let (delivery, _) = one.at(place as u32).unwrap();
        assert_eq!(one.body(delivery).head, block.body(block.at(place as u32).unwrap().0).head);
    }
    assert!(Block::read_one(&stored, block.id, 6).unwrap().is_none());
    assert!(Block::read_one(&stored, 13, 0).unwrap().is_none());
    stored.execute_batch("update content set bodies = substr(bodies, 1, length(bodies) - 1)").unwrap();
    assert!(Block::read_one(&stored, block.id, 0).is_ok());
    assert!(matches!(said(Block::read_one(&stored, block.id, 5).unwrap_err()), Error::Damaged { .. }));
}

#[test]
fn without_its_bodies_a_block_says_how_long_they_are() {
    let block = block();
    let (events, _) = block.encode();
    let read = Block::decode(12, &events, None).unwrap();
    for ((read_one, _), (one, _)) in read.iter().zip(block.iter()) {
        assert_eq!(read.body_bytes(read_one), block.body_bytes(one));
        assert!(read.body(read_one).head.is_empty() && read.body(read_one).tail.is_empty());
    }
}

#[test]
fn what_stays_in_a_block_keeps_its_place_and_its_body() {
    let mut block = block();
    let before = told(&block);
    block.retain(|delivery| [1, 2, 5].contains(&delivery.place));
    let kept = [1, 2, 5].map(|place: usize| before[place].clone());
    assert_eq!(told(&block), kept);
    assert_eq!(block.events.len(), 2, "events without deliveries stay");
    assert_eq!(told(&read_back(&block)), kept);
    assert!(block.at(0).is_none() && block.at(5).is_some());
    block.retain(|_| false);
    assert!(block.events.is_empty() && read_back(&block).deliveries.is_empty());
}

#[test]
fn half_a_block_is_damaged() {
    let (events, bodies) = block().encode();
    let mut boundaries = 0;
    for length in 0..events.len() {
        // a block that ends between two events is whole to its reader, and lacks deliveries
        match Block::decode(12, &events[..length], Some(bodies.clone().into())) {
            Ok(_) => boundaries += 1,
            Err(fault) => assert!(matches!(said(fault), Error::Damaged { .. })),
        }
    }
    assert_eq!(boundaries, 3);
    for length in 0..bodies.len() {
        let fault = Block::decode(12, &events, Some(bodies[..length].to_vec().into())).unwrap_err();
        let said = said(fault).to_string();
        assert!(said.ends_with("block 12 has not all of its bodies"), "{said}");
    }
}

#[test]
fn a_home_says_block_and_place() {
    for (block, place) in [(0, 0), (1, 0), (1 << 39, (1 << 24) - 1), (77, 4096)] {
        let home = Home::new(block, place);
        assert_eq!((home.block(), home.place()), (block, place));
    }
}

fn attempt(number: u32, status: u16) -> Attempt {
    Attempt {
        number,
        started_at_us: i64::MIN,
        duration: Duration::from_micros(3),
        outcome: Outcome::Answered {
            status,
            retry_after: Some(Duration::from_secs(60)),
            excerpt: "said".into(),
        },
    }
}

#[test]
fn an_arrival_comes_back_as_it_was_and_half_a_list_is_damaged() {
    assert!(Arrived::new(3, &attempt(2, 200)).is_none());
    let silent = Attempt { outcome: Outcome::TimedOut, ..attempt(1, 200) };
    assert!(Arrived::new(3, &silent).is_none());
    let list = [Arrived::new(3, &attempt(1, 200)).unwrap(), Arrived::new(9, &attempt(1, 204)).unwrap()];
    let bytes = postcard::to_stdvec(&list[..]).unwrap();
    let read = read_list(5, &bytes).unwrap();
    assert_eq!(read.iter().map(|arrived| arrived.place).collect::<Vec<_>>(), [3, 9]);
    assert_eq!(read[1].attempt(), attempt(1, 204));
    for length in 0..bytes.len() {
        let fault = read_list(5, &bytes[..length]).unwrap_err();
        assert!(said(fault).to_string().contains("a list of block 5 cannot be read"));
    }
}

/// What damages bytes: where, and with what.
fn damage() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)
}

fn inflict(bytes: &mut [u8], damage: &[(usize, u8)]) {
    let length = bytes.len();
    for &(place, with) in damage {
        bytes[place % length] = with;
    }
}

/// Everything that is asked of a block, whatever its bytes were.
fn look_around(block: &mut Block) {
    told(block);
    block.shares();
    block.footprint_bytes();
    for (delivery, _) in block.iter() {
        assert_eq!(Home::new(block.id, delivery.place).block(), block.id);
        assert_eq!(block.at(delivery.place).unwrap().0.place, delivery.place);
        assert!(block.find(delivery.webhook, delivery.sequence).is_some());
    }
    block.retain(|delivery| delivery.place % 2 == 0);
    read_back_or_lack_bodies(block);
}

/// A block that was read without its bodies cannot be read back with them.
fn read_back_or_lack_bodies(block: &Block) {
    let (events, bodies) = block.encode();
    drop(Block::decode(block.id, &events, Some(bodies.into())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_damaged_block_is_refused_or_says_something_else(
        damage in damage(), in_bodies in any::<bool>(), with_bodies in any::<bool>()
    ) {
        let (mut events, mut bodies) = block().encode();
        inflict(if in_bodies { &mut bodies } else { &mut events }, &damage);
        match Block::decode(12, &events, with_bodies.then(|| bodies.into())) {
            Ok(mut block) => look_around(&mut block),
            Err(fault) => {
                let said = said(fault);
                prop_assert!(matches!(said, Error::Damaged { .. }), "{said:?}");
            }
        }
    }

    #[test]
    fn any_bytes_for_a_block_are_refused_or_say_something(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        match Block::decode(12, &bytes, None) {
            Ok(mut block) => look_around(&mut block),
            Err(fault) => assert!(matches!(said(fault), Error::Damaged { .. })),
        }
    }

    #[test]
    fn a_damaged_list_is_refused_or_says_something_else(damage in damage()) {
        let list: Vec<_> = (0..4).map(|place| Arrived::new(place, &attempt(1, 200)).unwrap()).collect();
        let mut bytes = postcard::to_stdvec(&list).unwrap();
        inflict(&mut bytes, &damage);
        match read_list(5, &bytes) {
            Ok(list) => list.iter().for_each(|arrived| drop(arrived.attempt())),
            Err(fault) => assert!(matches!(said(fault), Error::Damaged { .. })),
        }
    }
}

/// A block with bodies of so many bytes.
fn large(id: u64, bytes: usize) -> Arc<Block> {
    let mut forming = Forming::default();
    let mut event = event(id, &[4], b"");
    event.tails[0].bytes = vec![b'x'; bytes].into();
    forming.push(&event, |_| true);
    Arc::new(forming.finish(id))
}

#[test]
fn the_shelf_keeps_what_was_asked_for_last_and_finds_the_rest_in_the_file() {
    // without tables: whoever looks into the file fails
    let nothing = Connection::open_in_memory().unwrap();
    let mut shelf = Shelf::default();
    for id in 1..=4 {
        shelf.put(large(id, SHELF_BYTES / 4));
    }
    let has = |shelf: &mut Shelf, id| shelf.block(&nothing, id).is_ok();
    assert!(!has(&mut shelf, 1), "there is no room for four");
    assert!(has(&mut shelf, 2));
    shelf.put(large(5, SHELF_BYTES / 4));
    assert!(has(&mut shelf, 2) && !has(&mut shelf, 3), "the third was asked for longest ago");
    // put again it takes no more room
    for _ in 0..9 {
        shelf.put(large(5, SHELF_BYTES / 4));
    }
    assert!(has(&mut shelf, 2) && has(&mut shelf, 4) && has(&mut shelf, 5));
    shelf.remove(4);
    assert!(!has(&mut shelf, 4));
    // one that is larger than the shelf stands there alone
    shelf.put(large(6, SHELF_BYTES * 2));
    assert!(has(&mut shelf, 6) && !has(&mut shelf, 5));
}

/// The story of a transaction that settled claims and made parts of a large one count, of which the parts could not be
/// read just then: the claims stood on, and held their lanes.
#[test]
fn a_claim_ends_though_something_else_cannot_be_read() {
    let nothing = Connection::open_in_memory().unwrap();
    let (mut index, mut shelf) = (Index::default(), Shelf::default());
    let webhook = WebhookId(4);
    index.follow(vec![Effect::Published(Arc::new(block()))], &nothing, &mut shelf, 0).unwrap();
    let (sequence, _) = index.claim(webhook, 0).unwrap();
    let parts = Effect::PublishedParts { after: 12, up_to: 15 };
    let settled = Effect::Settled { webhook, sequence, end: End::Delivered };
    index.follow(vec![parts, settled], &nothing, &mut shelf, 0).unwrap_err();
    assert!(index.standing(webhook, sequence).is_none());
}

/// The story of a large transaction whose blocks could not be read when they came to count: what came behind it went out
/// before it, until the index was read anew. Now nothing is claimed from an index that has a hole.
#[test]
fn nothing_is_claimed_from_an_index_that_could_not_follow() {
    let nothing = Connection::open_in_memory().unwrap();
    let (mut index, mut shelf) = (Index::new(1000), Shelf::default());
    let parts = Effect::PublishedParts { after: 5, up_to: 11 };
    let behind = Effect::Published(Arc::new(block()));
    index.follow(vec![parts, behind], &nothing, &mut shelf, 0).unwrap_err();
    assert!(index.claim(WebhookId(4), 0).is_none());
}
