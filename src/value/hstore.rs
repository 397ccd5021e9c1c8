//! `hstore`, as `hstore_out` prints it: `"a"=>"1", "b"=>NULL`. It is an extension with a cast to `json`, which
//! `to_jsonb` follows.

use super::array::read_quoted;
use super::write_string;

/// Appends the pairs as an object. None where the text is no hstore.
pub(super) fn write_hstore(text: &str, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'{');
    let mut rest = text;
    while !rest.is_empty() {
        let (key, behind) = read_quoted(rest.strip_prefix('"')?)?;
        write_string(&key, out);
        out.push(b':');
        rest = behind.strip_prefix("=>")?;
        if let Some(behind) = rest.strip_prefix("NULL") {
            out.extend_from_slice(b"null");
            rest = behind;
        } else {
            let (value, behind) = read_quoted(rest.strip_prefix('"')?)?;
            write_string(&value, out);
            rest = behind;
        }
        if !rest.is_empty() {
            rest = rest.strip_prefix(", ").filter(|more| !more.is_empty())?;
            out.push(b',');
        }
    }
    out.push(b'}');
    Some(())
}
