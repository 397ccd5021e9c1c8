//! What a failed request says of the endpoint, in words for an operator.

use super::answer::one_line;
use super::guard::Forbidden;
use super::pool::Broken;
use super::tunnel;
use crate::delivery::Outcome;
use crate::tls;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error as TlsError, InvalidMessage, PeerIncompatible};
use std::error::Error;
use std::io;

/// How much of a reason is kept, in characters: an endpoint has a say in it, by its certificate's names or the
/// debug data of HTTP/2.
const REASON_CHARS_MAX: usize = 240;

/// What hyper says of a connection that ends amid an answer.
const CLOSED: &str = "connection closed before message completed";

/// What became of a request that the client gave up.
pub(super) fn outcome_of(error: &Broken) -> Outcome {
    let causes = || std::iter::successors(error.source(), |&cause| cause.source());
    // whatever keeps us from a tunnel is said with the proxy's name
    let tunnel = causes().find_map(|cause| cause.downcast_ref::<tunnel::Error>());
    if let Some(forbidden) = causes().find_map(|cause| cause.downcast_ref::<Forbidden>()) {
        // a name server that lied for a moment, or has not told everybody yet, may say better at the next look
        let of_proxy = tunnel.map(|tunnel| format!("{tunnel}: ")).unwrap_or_default();
        return Outcome::Unreachable { reason: format!("{of_proxy}{forbidden}") };
    }
    if let Some(tunnel) = tunnel {
        let cause = causes().find_map(in_words).or_else(|| {
            let last = causes().last().filter(|cause| !cause.is::<tunnel::Error>());
            last.map(ToString::to_string)
        });
        let cause =
            cause.map(|cause| format!(": {}", cause.replace("the endpoint", "it"))).unwrap_or_default();
        let reason = one_line(&format!("{error}: {tunnel}{cause}"), REASON_CHARS_MAX);
        return Outcome::Unreachable { reason };
    }
    if causes().any(is_timeout) {
        return Outcome::TimedOut;
    }
    // without words of ours, the innermost cause is what an operator understands: `Connection refused (os error 111)`
    let cause = causes()
        .find_map(in_words)
        .or_else(|| causes().last().map(ToString::to_string))
        .unwrap_or_else(|| "the request failed".to_owned());
    let cause = one_line(&cause, REASON_CHARS_MAX);
    Outcome::Unreachable { reason: format!("{error}: {cause}") }
}

fn is_timeout(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
        || cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn in_words(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<h2::Error>() {
        return of_http2(error);
    }
    if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
        return Some(CLOSED.to_owned());
    }
    if let Some(error) = cause.downcast_ref::<tls::Error>() {
        // of our own files: which one, and then why
        let why = error.source().map_or_else(String::new, |why| format!(": {why}"));
        return Some(format!("{error}{why}"));
    }
    let mut error = cause.downcast_ref::<io::Error>()?;
    // an `io::Error` hides what it wraps from the chain of causes, and may wrap another one
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()) {
        error = inner;
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(error) => of_tls(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Some(CLOSED.to_owned()),
        None => None,
    }
}

fn of_http2(error: &h2::Error) -> Option<String> {
    let reason = error.reason()?;
    Some(match (error.is_remote(), error.is_go_away()) {
        (true, true) => format!("the endpoint closed the connection (HTTP/2 GOAWAY, {reason:?})"),
        (true, false) => format!("the endpoint reset the request (HTTP/2 {reason:?})"),
        (false, _) => format!("the endpoint broke the rules of HTTP/2 ({reason:?})"),
    })
}

fn of_tls(error: &TlsError) -> Option<String> {
    match error {
        TlsError::InvalidCertificate(error) => {
            Some(format!("invalid certificate: {}", of_certificate(error)))
        }
        TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            Some("the endpoint speaks neither TLS 1.2 nor TLS 1.3".to_owned())
        }
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Some("the endpoint does not speak TLS".to_owned())
        }
        _ => None,
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => format!("it expired on {}", day(*not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}", day(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| plain(name)).collect();
            format!("it is not for {:?} but for {}", expected.to_str(), names.join(", "))
        }
        // signed by somebody who has the name of one that is trusted, but not the key
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it is signed by nobody whom this system trusts".to_owned()
        }
        CertificateError::Other(other) => format!("it cannot be used for a server ({})", other.0),
        other => other.to_string(),
    }
}

/// The name in `DnsName("receiver.example")`.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn day(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(
        || "a day that no calendar has".to_owned(),
        |time| time.to_zoned(TimeZone::UTC).date().to_string(),
    )
}
