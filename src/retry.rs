//! What an attempt's outcome means for its delivery.

use crate::delivery::{Outcome, Settlement};
use crate::webhook::{OnExhausted, Webhook};
use std::time::Duration;

/// The pauses between a delivery's attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The pause after the first failed attempt, after the second, and so on; after the last one the delivery
    /// is a dead letter.
    pub pauses: Vec<Duration>,
}

/// The longest pause that an endpoint can ask for by `Retry-After`; whoever asks for more gets this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// How many failures in a row suspend a webhook, if they took at least [`SUSPENDED_AFTER`].
pub const SUSPENDING_FAILURES: u32 = 20;

/// How long a webhook must have been failing before it is suspended, where its format's product has no rule of its own.
pub const SUSPENDED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How far a pause may stray from the schedule to either side, so that what failed together does not come
/// again together.
const JITTER: f64 = 0.2;

impl Default for Schedule {
    /// Eleven attempts within about two days.
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 3600;
        let seconds =
            [5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR];
        Self { pauses: seconds.map(Duration::from_secs).to_vec() }
    }
}

impl Schedule {
    /// The pause after an attempt that failed, where `failures` had failed before it; none if there is no
    /// further attempt. `random` lies in 0..1 and moves the pause by up to 20 % to either side.
    pub fn pause(&self, failures: u32, random: f64) -> Option<Duration> {
        let pause = self.pauses.get(usize::try_from(failures).ok()?)?;
        Some(pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0)))
    }
}

/// What an outcome says of its delivery and of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The endpoint took the delivery.
    Success,
    /// A trouble that may pass: it is tried again.
    Passing,
    /// The endpoint does not want this delivery, and would not if it came again.
    Final,
    /// The endpoint does not want any delivery: 410.
    Gone,
}

/// Which refusals may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusals {
    /// 401, 403, 404, 408, 409, 425, 429 and 5xx; 410 suspends; the others are final.
    #[default]
    ByStatus,
    /// Every answer but 2xx, as the products with format `itrp` do.
    AllPass,
}

impl Refusals {
    /// The rule of a webhook: its format decides.
    pub fn of(webhook: &Webhook) -> Self {
        if webhook.format == "itrp" { Self::AllPass } else { Self::ByStatus }
    }
}

impl Meaning {
    /// What an outcome means.
    pub fn of(outcome: &Outcome, refusals: Refusals) -> Self {
        match outcome {
            Outcome::TimedOut | Outcome::Unreachable { .. } => Self::Passing,
            Outcome::Refused { .. } => Self::Final,
            Outcome::Answered { status, .. } => match (status, refusals) {
                (200..=299, _) => Self::Success,
                (_, Refusals::AllPass) => Self::Passing,
                (410, Refusals::ByStatus) => Self::Gone,
                (401 | 403 | 404 | 408 | 409 | 425 | 429 | 500..=599, Refusals::ByStatus) => Self::Passing,
                (_, Refusals::ByStatus) => Self::Final,
            },
        }
    }
}

/// How long a webhook must have been failing before it is suspended; none means that it never is.
fn suspended_after(webhook: &Webhook) -> Option<Duration> {
    match webhook.format {
        // there it takes more than a week
        "itrp" => Some(7 * 24 * Duration::from_secs(3600)),
        // DataGerry goes on for ever
        "datagerry" => None,
        _ => Some(SUSPENDED_AFTER),
    }
}

/// The failures of a webhook in a row, over all its deliveries, before the attempt that is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureRun {
    /// How many.
    pub failures: u32,
    /// How long ago the first of them was; zero if there is none.
    pub lasting: Duration,
}

/// What becomes of a delivery and of its webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The delivery.
    pub settlement: Settlement,
    /// If the webhook is to be suspended, why.
    pub suspend: Option<String>,
}

/// Decides on an attempt.
///
/// `failures` counts the delivery's failed attempts before this one, `random` lies in 0..1. A `Retry-After`
/// makes a pause longer, never shorter, and at most [`RETRY_AFTER_MAX`]. A delivery that met 410 stays to be
/// tried as soon as the webhook is enabled again, however many attempts it has had: the answer was about the
/// endpoint, not about this delivery.
pub fn decide(webhook: &Webhook, outcome: &Outcome, failures: u32, run: FailureRun, random: f64) -> Decision {
    let dead = match webhook.sending.on_exhausted {
        OnExhausted::Skip => Settlement::Dead,
        OnExhausted::Block => Settlement::Blocking,
    };
    let settlement = match Meaning::of(outcome, Refusals::of(webhook)) {
        Meaning::Success => return Decision { settlement: Settlement::Delivered, suspend: None },
        Meaning::Gone => {
            let suspend = Some("the endpoint answered 410 Gone".to_owned());
            return Decision { settlement: Settlement::Retry { after: Duration::ZERO }, suspend };
        }
        Meaning::Final => dead,
        Meaning::Passing => match webhook.sending.schedule.pause(failures, random) {
            Some(pause) => Settlement::Retry { after: pause.max(asked_pause(outcome)) },
            None => dead,
        },
    };
    let in_a_row = run.failures.saturating_add(1);
    let suspends =
        in_a_row >= SUSPENDING_FAILURES && suspended_after(webhook).is_some_and(|after| run.lasting >= after);
    let suspend = suspends.then(|| {
        format!(
            "{in_a_row} failures in a row over {} hours, the last: {outcome}",
            run.lasting.as_secs() / 3600
        )
    });
    Decision { settlement, suspend }
}

/// What the endpoint asked for by `Retry-After`, within bounds.
fn asked_pause(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Answered { retry_after: Some(asked), .. } => (*asked).min(RETRY_AFTER_MAX),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::sample;

    fn webhook(format: &'static str, on_exhausted: OnExhausted) -> Webhook {
        let mut webhook = Webhook { format, ..sample::webhook(1) };
        webhook.sending.on_exhausted = on_exhausted;
        webhook
    }

    fn answered(status: u16, retry_after_s: Option<u64>) -> Outcome {
        let retry_after = retry_after_s.map(Duration::from_secs);
        Outcome::Answered { status, retry_after, excerpt: String::new() }
    }

    fn refused() -> Outcome {
        Outcome::Refused { reason: "address".into() }
    }

    fn unreachable() -> Outcome {
        Outcome::Unreachable { reason: "connection refused".into() }
    }

    fn decided(webhook: &Webhook, outcome: &Outcome, failures: u32) -> Decision {
        decide(webhook, outcome, failures, FailureRun::default(), 0.5)
    }

    /// `random` in the middle: the schedule's own pause.
    #[track_caller]
    fn check(outcome: Outcome, failures: u32, expected: &str) {
        let decision = decided(&webhook("native", OnExhausted::Skip), &outcome, failures);
        assert_eq!(format!("{:?}", decision.settlement), expected, "{outcome:?} after {failures} failures");
    }

    // R-NA-05
    #[test]
    fn an_outcome_decides_by_the_table() {
        for status in [200, 201, 202, 204, 299] {
            check(answered(status, None), 0, "Delivered");
        }
        for status in [401, 403, 404, 408, 409, 425, 429, 500, 501, 502, 503, 504, 599] {
            check(answered(status, None), 0, "Retry { after: 5s }");
        }
        check(Outcome::TimedOut, 0, "Retry { after: 5s }");
        check(unreachable(), 0, "Retry { after: 5s }");
        for status in [100, 300, 301, 302, 307, 308, 400, 402, 405, 406, 411, 413, 415, 422, 451, 499, 600] {
            check(answered(status, None), 0, "Dead");
        }
        check(refused(), 0, "Dead");
    }

    // R-CG-23 R-NA-05
    #[test]
    fn the_schedule_ends_in_a_dead_letter() {
        let pauses = ["5s", "30s", "120s", "600s", "1800s", "3600s", "10800s", "21600s", "43200s", "86400s"];
        for (failures, pause) in pauses.into_iter().enumerate() {
            check(unreachable(), failures as u32, &format!("Retry {{ after: {pause} }}"));
        }
        check(unreachable(), 10, "Dead");
        check(unreachable(), u32::MAX, "Dead");
        let blocking = webhook("native", OnExhausted::Block);
        assert_eq!(decided(&blocking, &unreachable(), 10).settlement, Settlement::Blocking);
        assert_eq!(decided(&blocking, &answered(422, None), 0).settlement, Settlement::Blocking);
    }

    #[test]
    fn retry_after_is_honoured_within_bounds() {
        check(answered(429, Some(10)), 0, "Retry { after: 10s }");
        check(answered(503, Some(1)), 0, "Retry { after: 5s }");
        check(answered(503, Some(1)), 3, "Retry { after: 600s }");
        check(answered(503, Some(400_000)), 0, "Retry { after: 86400s }");
        check(answered(503, Some(10)), 10, "Dead");
        check(answered(422, Some(10)), 0, "Dead");
        let hook = webhook("native", OnExhausted::Skip);
        let early = decide(&hook, &answered(503, Some(5)), 0, FailureRun::default(), 0.0);
        assert_eq!(early.settlement, Settlement::Retry { after: Duration::from_secs(5) });
    }

    #[test]
    fn a_pause_strays_by_a_fifth() {
        let schedule = Schedule { pauses: vec![Duration::from_secs(10)] };
        assert_eq!(schedule.pause(0, 0.0), Some(Duration::from_secs(8)));
        assert_eq!(schedule.pause(0, 0.5), Some(Duration::from_secs(10)));
        assert_eq!(schedule.pause(0, 1.0), Some(Duration::from_secs(12)));
        assert_eq!(schedule.pause(0, 7.0), Some(Duration::from_secs(12)));
        assert_eq!(schedule.pause(1, 0.0), None);
    }

    #[test]
    fn gone_suspends_and_keeps_the_delivery() {
        for failures in [0, 10] {
            let decision = decided(&webhook("native", OnExhausted::Skip), &answered(410, None), failures);
            assert_eq!(decision.settlement, Settlement::Retry { after: Duration::ZERO });
            assert_eq!(decision.suspend.as_deref(), Some("the endpoint answered 410 Gone"));
        }
    }

    #[test]
    fn in_format_itrp_every_refusal_passes() {
        let itrp = webhook("itrp", OnExhausted::Skip);
        for status in [302, 400, 410, 422] {
            let decision = decided(&itrp, &answered(status, None), 0);
            assert_eq!(decision.settlement, Settlement::Retry { after: Duration::from_secs(5) });
            assert_eq!(decision.suspend, None);
        }
        assert_eq!(decided(&itrp, &refused(), 0).settlement, Settlement::Dead);
    }

    #[test]
    fn twenty_failures_in_a_row_over_a_day_suspend() {
        let hook = webhook("native", OnExhausted::Skip);
        let day = SUSPENDED_AFTER;
        let suspend = |outcome: &Outcome, failures, lasting| {
            decide(&hook, outcome, 0, FailureRun { failures, lasting }, 0.5).suspend
        };
        assert_eq!(suspend(&unreachable(), 18, day), None);
        assert_eq!(suspend(&unreachable(), 19, Duration::from_secs(86_399)), None);
        assert_eq!(
            suspend(&answered(503, None), 19, day).as_deref(),
            Some("20 failures in a row over 24 hours, the last: 503 Service Unavailable")
        );
        assert!(suspend(&answered(422, None), 19, day).is_some());
        assert_eq!(suspend(&answered(200, None), 19, day), None);
    }

    // R-NA-06
    #[test]
    fn products_have_rules_of_their_own_for_who_is_suspended() {
        let suspends = |format, failures, days| {
            let run = FailureRun { failures, lasting: days * SUSPENDED_AFTER };
            decide(&webhook(format, OnExhausted::Skip), &unreachable(), 0, run, 0.5).suspend.is_some()
        };
        assert!(suspends("arsys", 19, 1) && suspends("changegear", 19, 1));
        assert!(!suspends("itrp", 100, 6) && !suspends("itrp", 18, 7) && suspends("itrp", 19, 7));
        assert!(!suspends("datagerry", 10_000, 365));
    }
}
