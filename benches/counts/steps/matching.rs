//! From an event to the webhooks that want it, one in a hundred.

use crate::sample::{self, What};
use std::hint::black_box;
use walhook::capture::{Index, Scratch};
use walhook::webhook::Webhook;

pub fn one(_: u64, times: u64) {
    judge(1, times);
}

pub fn hundred(_: u64, times: u64) {
    judge(100, times);
}

pub fn ten_thousand(_: u64, times: u64) {
    judge(10_000, times);
}

fn judge(webhooks: u64, times: u64) {
    let event = sample::event(What::Update, 7);
    let condition = |number: u64| {
        format!(
            "'assigned_group' = \"team{}\" AND 'status' != 9 AND 'impact' != {}",
            (7 + number) % 100,
            10 + number
        )
    };
    let webhooks: Vec<Webhook> =
        (0..webhooks).map(|number| sample::webhook(number, Some(&condition(number)), "native")).collect();
    let mut index = Index::new(&event.form, webhooks.iter().enumerate());
    let (mut scratch, mut verdicts) = (Scratch::default(), Vec::new());
    for _ in 0..times {
        index.judge(black_box(&event), &mut scratch, &mut verdicts);
        assert_eq!(black_box(&verdicts).len(), webhooks.len().div_ceil(100));
    }
}
