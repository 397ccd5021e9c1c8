//! From pgoutput's bytes to a change.

use crate::sample::{self, What};
use std::hint::black_box;
use walhook::source::{Message, pgoutput};

pub fn insert(_: u64, times: u64) {
    decode(What::Insert, times);
}

pub fn update(_: u64, times: u64) {
    decode(What::Update, times);
}

fn decode(what: What, times: u64) {
    let bytes = sample::change_bytes(what, 4711);
    for _ in 0..times {
        let message = pgoutput::decode(black_box(&bytes).clone()).expect("it can be decoded");
        assert!(matches!(black_box(&message), Some(Message::Change { .. })));
    }
}
