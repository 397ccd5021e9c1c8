//! Whether the listener's own certificate can be used, and for how long.

use super::finding::{Finding, Mend, Severity};
use crate::tls::server::{Files, Validity};
use jiff::{Timestamp, tz::TimeZone};
use std::error::Error as _;

/// A certificate that ends sooner is worth a warning: those that are renewed by programs are renewed earlier.
const DAYS_NOTABLE: i64 = 14;

const DAY: i64 = 24 * 3600;

/// Reads the files as `walhook run` does, and judges the certificate.
pub fn check(files: &Files, now: Timestamp) -> Finding {
    let object = "[admin] tls";
    match files.load() {
        Err(error) => {
            let why = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            Finding::new(Severity::Error, object, format!("{error}{why}")).mended_by(Mend::Key(
                "[admin] tls: PEM files that walhook may read, and a key that nobody else may".into(),
            ))
        }
        Ok(identity) => judge(identity.validity, now.as_second()),
    }
}

fn judge(validity: Option<Validity>, now: i64) -> Finding {
    let object = "[admin] tls";
    let Some(Validity { from, until }) = validity else {
        return Finding::new(Severity::Note, object, "the certificate does not say how long it is good");
    };
    let renew = Mend::Do("renew the certificate; walhook reads the files again when they change".into());
    if until < now {
        let what = format!("the certificate has been over since {}", day(until));
        return Finding::new(Severity::Error, object, what).mended_by(renew);
    }
    if from > now {
        let what = format!("the certificate is not good before {}", day(from));
        return Finding::new(Severity::Error, object, what).mended_by(Mend::Do(
            "set this machine's clock, or take a certificate that is good today".into(),
        ));
    }
    let what = format!("the certificate is good until {}", day(until));
    if until - now < DAYS_NOTABLE * DAY {
        return Finding::new(Severity::Warning, object, what).mended_by(renew);
    }
    Finding::new(Severity::Ok, object, what)
}

fn day(second: i64) -> String {
    let time = Timestamp::from_second(second).map(|time| time.to_zoned(TimeZone::UTC).date().to_string());
    time.unwrap_or_else(|_| "a time that no clock has".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_its_time() {
        let said = |from: i64, until: i64| {
            let finding = judge(Some(Validity { from: from * DAY, until: until * DAY }), 1000 * DAY);
            (finding.severity, finding.what)
        };
        let good = |until: &str| format!("the certificate is good until {until}");
        assert_eq!(said(0, 1014), (Severity::Ok, good("1972-10-11")));
        assert_eq!(said(0, 1013), (Severity::Warning, good("1972-10-10")));
        assert_eq!(said(0, 999), (Severity::Error, "the certificate has been over since 1972-09-26".into()));
        assert_eq!(
            said(1001, 2000),
            (Severity::Error, "the certificate is not good before 1972-09-28".into())
        );
        assert_eq!(judge(None, 0).severity, Severity::Note);
    }
}
