//! Numbers of webhooks that name none.

use crate::webhook::WebhookId;

/// The largest number a webhook may have: bodies that print it have twelve digits for it.
pub(super) const ID_MAX: u64 = 999_999_999_999;

/// Derived numbers are above this; rows of a registration table count from 1 and stay below.
const DERIVED_ABOVE: u64 = 500_000_000_000;

/// The number that follows from a name: the same in every file, whatever stands around it.
pub(super) fn derived(name: &str) -> WebhookId {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let beginning =
        digest.as_ref().iter().take(8).fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
    WebhookId(DERIVED_ABOVE + 1 + beginning % (ID_MAX - DERIVED_ABOVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_numbers_have_twelve_digits_and_never_change() {
        // a change here gives every webhook in the world a new number: sequences would start again at 1
        assert_eq!(derived("Escalations"), WebhookId(652_070_196_905));
        for number in 0..1_000 {
            let WebhookId(id) = derived(&format!("webhook {number}"));
            assert!((DERIVED_ABOVE + 1..=ID_MAX).contains(&id));
        }
    }
}
