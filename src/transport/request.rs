//! What is sent: headers and body.

use super::AGENT;
use super::signature::Signer;
use crate::delivery::{Body, Claim};
use crate::secret::MASK;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Frame, SizeHint};
use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const WEBHOOK_SIGNATURE_ENTRY: HeaderName = HeaderName::from_static("webhook-signature-entry");
const WALHOOK_SEQUENCE: HeaderName = HeaderName::from_static("walhook-sequence");
const WALHOOK_ATTEMPT: HeaderName = HeaderName::from_static("walhook-attempt");
const WALHOOK_REPLAY: HeaderName = HeaderName::from_static("walhook-replay");

/// Up to this size, head and tail of a body are copied together: cheaper than two writes.
const JOINED_BODY_BYTES_MAX: usize = 64 * 1024;

/// The headers of an attempt, but for those that authenticate.
pub(super) fn headers_of(claim: &Claim, body: &Body, signer: &Signer, now_us: i64) -> HeaderMap {
    let timestamp = now_us.div_euclid(1_000_000);
    let mut headers = HeaderMap::with_capacity(12);
    let id = claim.id.to_string();
    headers.insert(WEBHOOK_ID, id.try_into().expect("letters, digits and an underscore"));
    headers.insert(WEBHOOK_TIMESTAMP, timestamp.into());
    if let Some(signature) = signer.sign(claim.id, timestamp, body) {
        headers.insert(WEBHOOK_SIGNATURE, signature);
    }
    if let Some(signature) = signer.sign_entry(claim.id, timestamp, body) {
        headers.insert(WEBHOOK_SIGNATURE_ENTRY, signature);
    }
    headers.insert(WALHOOK_SEQUENCE, claim.number.sequence.into());
    headers.insert(WALHOOK_ATTEMPT, claim.attempt.into());
    if claim.replay {
        headers.insert(WALHOOK_REPLAY, HeaderValue::from_static("1"));
    }
    for (name, value) in body.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    let content_type = HeaderValue::try_from(body.media_type());
    headers
        .insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONTENT_LENGTH, (body.head.len() + body.tail.len()).into());
    headers
}

/// The headers of a question beside the deliveries.
pub(super) fn headers_of_question(body: &Parts) -> HeaderMap {
    let length = hyper::body::Body::size_hint(body).lower();
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(AGENT)),
        (CONTENT_LENGTH, length.into()),
    ])
}

/// The same as it may be shown: the signature is masked.
pub(super) fn shown_headers_of(claim: &Claim, is_signed: bool, now_us: i64) -> HeaderMap {
    let mut headers = headers_of(claim, &claim.body, &Signer::default(), now_us);
    if is_signed {
        headers.insert(WEBHOOK_SIGNATURE, HeaderValue::from_static(MASK));
        if claim.body.entry_part().is_some() {
            headers.insert(WEBHOOK_SIGNATURE_ENTRY, HeaderValue::from_static(MASK));
        }
    }
    headers
}

/// A body's head and tail, one after the other.
pub(super) struct Parts([Bytes; 2]);

impl Parts {
    pub(super) fn alone(body: Bytes) -> Self {
        Self([body, Bytes::new()])
    }

    pub(super) fn of(body: &Body) -> Self {
        let (head, tail) = (&body.head, &body.tail);
        let joins = !head.is_empty() && !tail.is_empty() && head.len() + tail.len() <= JOINED_BODY_BYTES_MAX;
        if joins {
            Self([Bytes::from([&head[..], &tail[..]].concat()), Bytes::new()])
        } else {
            Self([head.clone(), tail.clone()])
        }
    }
}

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.0.iter_mut().find(|part| !part.is_empty());
        Poll::Ready(part.map(|part| Ok(Frame::data(mem::take(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    // by it, HTTP/1.1 is not sent in chunks
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|part| part.len() as u64).sum())
    }
}
