//! Attachments: files that belong to an entry and stand in its table, beside it, or in a large object.

use bytes::Bytes;
use miniz_oxide::inflate;
use std::fmt;

/// How large an attachment may be to be sent, in bytes, unless the operator says otherwise.
pub const BYTES_MAX_DEFAULT: u64 = 10 << 20;

/// How much all attachments of one message may have together, in bytes, unless the operator says otherwise.
pub const MESSAGE_BYTES_MAX_DEFAULT: u64 = 32 << 20;

/// What a file is whose type nobody says.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// The attachments of a form as the operator describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachments {
    /// Each of them.
    pub each: Vec<Attachment>,
    /// How much those of one message may have together, in bytes.
    pub message_bytes_max: u64,
}

impl Default for Attachments {
    fn default() -> Self {
        Self { each: Vec::new(), message_bytes_max: MESSAGE_BYTES_MAX_DEFAULT }
    }
}

/// A field that is a file. Columns are named as they are, or by the fields that they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The field: its column has the bytes, or the oid of a large object, or is something for a file that stands elsewhere.
    pub field: String,
    /// The column of the file's name; none means that it is called like the field, or where it stands elsewhere, as the
    /// field's value says.
    pub name: Option<String>,
    /// The column of its media type.
    pub media_type: Option<String>,
    /// The column of its size: where the bytes are read later than the change, what tells that they are others by then.
    pub size: Option<String>,
    /// The table that has the bytes.
    pub elsewhere: Option<Elsewhere>,
    /// Larger ones are not sent.
    pub bytes_max: u64,
}

/// A table with the bytes of files, one row for an entry. AR System's may be compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its schema; none means that of the form's table.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// The column that has the entry id.
    pub key: String,
    /// The column that has the bytes.
    pub column: String,
}

/// An attachment bound to the columns of its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundAttachment {
    /// The number of its field.
    pub field: usize,
    /// The column of the file's name.
    pub name: Option<usize>,
    /// The column of its media type.
    pub media_type: Option<usize>,
    /// The column of its size.
    pub size: Option<usize>,
    /// Where the bytes are.
    pub place: Place,
    /// Larger ones are not sent.
    pub bytes_max: u64,
}

/// Where the bytes of an attachment are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the field's column: the log has them, as of the commit.
    Column,
    /// In the large object whose oid is in the field's column.
    LargeObject,
    /// In another table. Both names are there.
    Elsewhere(Elsewhere),
}

/// The files that go with an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enclosed {
    /// Each, in the order of the form's fields.
    pub files: Vec<(usize, Enclosure)>,
    /// What separates the parts of a message, the same whenever the event is told, and in none of the files.
    pub boundary: String,
}

impl Enclosed {
    /// The file of a field, by the field's number.
    pub fn of(&self, field: usize) -> Option<&Enclosure> {
        self.files.iter().find(|(one, _)| *one == field).map(|(_, enclosure)| enclosure)
    }

    /// How many bytes all files have.
    pub fn bytes(&self) -> usize {
        let files = self.files.iter().filter_map(|(_, enclosure)| enclosure.file());
        files.map(|file| file.bytes.len()).sum()
    }
}

/// What became of an attachment of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enclosure {
    /// There is none.
    Nothing,
    /// It is here.
    File(File),
    /// The event left it alone, and the log does not have it.
    LeftAlone,
    /// There is one, and it cannot be sent, for this reason.
    Missing(String),
}

impl Enclosure {
    /// The file, if it is here.
    pub fn file(&self) -> Option<&File> {
        match self {
            Self::File(file) => Some(file),
            Self::Nothing | Self::LeftAlone | Self::Missing(_) => None,
        }
    }
}

/// A file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, without folders.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// What is in it.
    pub bytes: Bytes,
    /// The SHA-256 of that.
    pub hash: [u8; 32],
    /// Where it can be fetched for a while.
    pub href: Option<String>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({:?}, {:?}, {} bytes)", self.name, self.media_type, self.bytes.len())
    }
}

/// The SHA-256 of some bytes.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("a SHA-256 digest has 32 bytes")
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A `bytea` in PostgreSQL's text form (`bytea_output = hex`, which walhook's sessions set): `\x6869`.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// Bytes as they fit: as they are, or with a compression taken off them (zlib, or deflate alone). No more than `bytes_max` are
/// made of them.
pub fn expanded(bytes: Vec<u8>, bytes_max: u64, fits: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    if fits(&bytes) {
        return Some(bytes);
    }
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let zlib = || inflate::decompress_to_vec_zlib_with_limit(&bytes, limit).ok();
    let deflate = || inflate::decompress_to_vec_with_limit(&bytes, limit).ok();
    zlib().filter(|bytes| fits(bytes)).or_else(|| deflate().filter(|bytes| fits(bytes)))
}

/// A file's name without the folders that some systems put before it.
pub fn without_folders(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or(name)
}

/// A media type that may stand in a header; anything else is [`OCTET_STREAM`].
pub fn media_type(text: Option<&str>) -> &str {
    let fits = |text: &&str| {
        let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let has_parts = text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
        is_plain && has_parts && text.len() <= 255 && text.trim() == *text
    };
    text.filter(fits).unwrap_or(OCTET_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&format!("\\x{}", hex(&all))), Some(all));
        assert_eq!(unhex("\\x"), Some(vec![]));
        for wrong in ["", "6869", "\\x6", "\\x6g", "\\xé"] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_compression_is_taken_off_where_that_fits() {
        let plain: Vec<u8> = (0..2000_u32).map(|number| (number / 7) as u8).collect();
        let fits = |bytes: &[u8]| bytes.len() == plain.len();
        let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&plain, 6);
        let deflate = miniz_oxide::deflate::compress_to_vec(&plain, 6);
        for stored in [plain.clone(), zlib.clone(), deflate] {
            assert_eq!(expanded(stored, 2000, fits), Some(plain.clone()));
        }
        assert_eq!(expanded(zlib.clone(), 1999, fits), None, "no bomb");
        assert_eq!(expanded(zlib, 5000, |bytes| bytes.len() == 2001), None);
        assert_eq!(expanded(plain[1..].to_vec(), 5000, fits), None);
    }

    #[test]
    fn a_media_type_does_not_break_out_of_its_header() {
        let check = |text, wanted: &str| assert_eq!(media_type(Some(text)), wanted);
        check("image/png", "image/png");
        check("text/plain; charset=utf-8", "text/plain; charset=utf-8");
        for wrong in ["", "png", "/", "text/pl\r\nx: y", "text/plän", " text/plain"] {
            check(wrong, OCTET_STREAM);
        }
        assert_eq!(media_type(None), OCTET_STREAM);
    }

    #[test]
    fn folders_are_no_part_of_a_name() {
        for (text, name) in
            [("a.png", "a.png"), ("C:\\Temp\\a b.png", "a b.png"), ("/tmp/ä.txt", "ä.txt"), ("x/", "x/")]
        {
            assert_eq!(without_folders(text), name);
        }
    }
}
