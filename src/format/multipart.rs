//! Messages of several parts, as AR System sends them: the JSON, and the files beside it.
//!
//! ```text
//! --<boundary>
//! Content-Disposition: form-data; name="entry"
//! Content-Type: application/json; charset=UTF-8
//!
//! {"webhook_id": …}
//! --<boundary>
//! Content-Disposition: form-data; name="attach-<field>"; filename="<name>"
//! Content-Type: application/octet-stream
//! Content-Transfer-Encoding: binary
//!
//! <bytes>
//! --<boundary>--
//! ```
//!
//! Lines end with CR LF. Names are written as browsers write them (WHATWG HTML, "multipart/form-data encoding algorithm"):
//! UTF-8 as it is, and `%22`, `%0D` and `%0A` for what would end them.

use crate::attachment::File;
use std::io::Write as _;

/// What the message is.
pub(super) fn content_type(boundary: &str) -> String {
    format!("multipart/form-data; boundary={boundary}")
}

/// Appends what comes before the JSON.
pub(super) fn begin(boundary: &str, out: &mut Vec<u8>) {
    write!(
        out,
        "--{boundary}\r\nContent-Disposition: form-data; name=\"entry\"\r\n\
         Content-Type: application/json; charset=UTF-8\r\n\r\n"
    )
    .expect("a Vec takes every byte");
}

/// Appends a file, after the JSON or another file.
pub(super) fn file(boundary: &str, field: &str, file: &File, out: &mut Vec<u8>) {
    let (field, name) = (escaped(field), escaped(&file.name));
    write!(
        out,
        "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"attach-{field}\"; filename=\"{name}\"\r\n\
         Content-Type: {}\r\nContent-Transfer-Encoding: binary\r\n\r\n",
        file.media_type
    )
    .expect("a Vec takes every byte");
    out.extend_from_slice(&file.bytes);
}

/// Appends the end.
pub(super) fn end(boundary: &str, out: &mut Vec<u8>) {
    write!(out, "\r\n--{boundary}--\r\n").expect("a Vec takes every byte");
}

/// The JSON of a body; the whole where it is one piece.
pub(super) fn entry(body: &[u8]) -> &[u8] {
    let entry = || {
        let begin = 4 + body.windows(4).position(|four| four == b"\r\n\r\n")?;
        let rest = body.get(begin..)?;
        rest.get(..rest.windows(4).position(|four| four == b"\r\n--")?)
    };
    if body.starts_with(b"--") { entry().unwrap_or_default() } else { body }
}

fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    // R-AR-75
    #[test]
    fn names_are_written_as_browsers_do() {
        let check = |name: &str, wanted: &str| assert_eq!(escaped(name), wanted);
        check("sample.png", "sample.png");
        check("a \"b\"\r\nx: y", "a %22b%22%0D%0Ax: y");
        check("Größe 100%.txt", "Größe 100%.txt");
    }
}
