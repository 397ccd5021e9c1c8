//! `/attachments`: the files that messages have links to. A link needs no account: it is signed, and good for a while.
//!
//! The bytes are those of the database now. If they are not those of the event, the link is gone: nobody gets other bytes
//! than the ones that were told of.

use super::Shown;
use super::problem::Problem;
use crate::attachment::{expanded, hash, media_type};
use crate::catalog::{FileFound, Whose, read_file};
use crate::clock::Clock;
use crate::reference::{self, Reference};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How many files are read from the database at once; further requests wait.
const READS_MAX: usize = 4;

#[derive(Clone)]
struct Files {
    shown: Shown,
    room: Arc<Semaphore>,
}

/// The route. It stands before the gate.
pub(super) fn routes(shown: &Shown) -> Router {
    let files = Files { shown: shown.clone(), room: Arc::new(Semaphore::new(READS_MAX)) };
    Router::new().route(reference::PATH, get(fetch)).with_state(files)
}

async fn fetch(State(files): State<Files>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let keys = Arc::clone(&files.shown.registrar.keys.borrow());
    let now_us = Clock::system().now_us();
    let wanted =
        reference::read(&query.unwrap_or_default(), &keys, now_us).map_err(|refusal| match refusal {
            reference::Refusal::Forged => Problem::new(StatusCode::FORBIDDEN, "this is no link of walhook's")
                .detail(refusal.to_string()),
            reference::Refusal::Expired => gone(&refusal.to_string()),
        })?;
    let bytes = bytes_of(&files, &wanted).await?;
    let disposition = disposition(&wanted.name);
    let headers = [
        (CONTENT_TYPE, text(media_type(Some(&wanted.media_type)))),
        (CONTENT_DISPOSITION, text(&disposition)),
        // whatever is in it, a browser does not run it as a page of this site
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    Ok((headers, bytes).into_response())
}

/// The bytes, if they are those of the event.
async fn bytes_of(files: &Files, wanted: &Reference) -> Result<Vec<u8>, Problem> {
    let away =
        |why: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the file cannot be read").detail(why);
    let described = files.shown.forms.now().ok_or_else(|| away("the database has not answered yet"))?;
    let form = described.forms.iter().find(|form| form.form.name == wanted.form);
    let file = form.and_then(|form| {
        let field = form.fields.iter().position(|field| field.name == wanted.field)?;
        Some((form, form.attachments.iter().find(|file| file.field == field)?))
    });
    let Some((form, file)) = file else {
        return Err(gone("walhook's configuration does not have this attachment any more"));
    };
    let entry = form.entry_id_values(&wanted.entry_id).ok_or_else(|| gone("the entry has another id now"))?;
    let _room = files.room.acquire().await;
    let found = read_file(files.shown.registrar.door.address(), form, file, &Whose::Entry(entry)).await;
    let bytes = match found {
        Ok(FileFound::Bytes(bytes)) => bytes,
        Ok(FileFound::Nothing) => return Err(gone("it was removed since the event")),
        Ok(FileFound::TooLarge) => return Err(gone("it has changed since the event, and is too large now")),
        Ok(FileFound::Refused(why)) => return Err(gone(&format!("the database does not give it: {why}"))),
        Err(error) => return Err(away(&error.to_string())),
    };
    expanded(bytes, file.bytes_max, |bytes| hash(bytes) == wanted.hash)
        .ok_or_else(|| gone("it has changed since the event"))
}

fn gone(why: &str) -> Problem {
    Problem::new(StatusCode::GONE, "this file is not to be had any more").detail(why)
}

/// A value of a header; what cannot stand in one is left out.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}

/// That a browser saves it, and under which name (RFC 6266, RFC 8187).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' { c } else { '_' })
        .collect();
    let mut told = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            told.push(char::from(byte));
        } else {
            let _ = write!(told, "%{byte:02X}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn a_name_does_not_break_out_of_its_header() {
        let check = |name: &str, wanted: &str| assert_eq!(disposition(name), wanted);
        check("a.png", "attachment; filename=\"a.png\"; filename*=UTF-8''a.png");
        check(
            "ä \"1\"\r\n.txt",
            "attachment; filename=\"_ _1___.txt\"; filename*=UTF-8''%C3%A4%20%221%22%0D%0A.txt",
        );
    }
}
