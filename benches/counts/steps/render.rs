//! From an event to a body of about 1 kB.

use crate::sample::{self, What};
use std::hint::black_box;
use walhook::delivery::{DeliveryId, DeliveryNumber};
use walhook::format::{Identity, find};

pub fn native(_: u64, times: u64) {
    render("native", times);
}

pub fn arsys(_: u64, times: u64) {
    render("arsys", times);
}

fn render(format: &'static str, times: u64) {
    let event = sample::event(What::Update, 4711);
    let webhook = sample::webhook(7, None, format);
    let format = find(format).expect("there is such a format");
    let number = DeliveryNumber { webhook: webhook.id, sequence: 12 };
    let identity = Identity { id: DeliveryId([0xAB; 16]), number };
    for _ in 0..times {
        // with room as capture makes it: without, it is chance whether memory grows where it is or is copied
        let (mut head, mut tail) = (Vec::with_capacity(128), Vec::with_capacity(1024));
        let event = black_box(&event);
        format.tail(&webhook, event, &mut tail);
        format.head(&webhook, &identity, event, &mut head);
        assert!(black_box(&head).len() + black_box(&tail).len() > 700);
    }
}
