//! Links to files of entries, for receivers that fetch them themselves: signed, and good for a while.
//!
//! A link says which file of which entry it means and what its bytes were (SHA-256): whoever answers it can tell that they
//! are others by now. The signature is over the query as it stands, up to itself; it is made with the newest of walhook's
//! keys and checked with all of them.

use crate::attachment::{hex, unhex};
use crate::sealing::Keys;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use url::form_urlencoded;

/// How long a link is good.
pub const VALID: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where links lead, below the site.
pub const PATH: &str = "/attachments";

/// What the keys sign here, and nowhere else.
const PURPOSE: &str = "reference to an attachment";

/// What makes links.
#[derive(Clone, Debug)]
pub struct References {
    /// The URL by which others know this site, without a slash at its end.
    pub site: String,
    /// What signs.
    pub keys: Arc<Keys>,
}

/// What a link means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The form.
    pub form: String,
    /// The entry.
    pub entry_id: String,
    /// The field.
    pub field: String,
    /// The file's name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// The SHA-256 of its bytes.
    pub hash: [u8; 32],
}

/// Why a link is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody here has signed it.
    #[error("the link is not as walhook has signed it")]
    Forged,
    /// Its time is over.
    #[error("the link was good for {} days, which are over", VALID.as_secs() / 86_400)]
    Expired,
}

impl References {
    /// The link, good from now on; `now_us` is the time of day in microseconds since 1970 UTC.
    pub fn href(&self, to: &Reference, now_us: i64) -> String {
        let expires = now_us.div_euclid(1_000_000).saturating_add(VALID.as_secs().cast_signed());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("form", &to.form)
            .append_pair("entry_id", &to.entry_id)
            .append_pair("field", &to.field)
            .append_pair("name", &to.name)
            .append_pair("type", &to.media_type)
            .append_pair("sha256", &hex(&to.hash))
            .append_pair("expires", &expires.to_string())
            .finish();
        let signature = URL_SAFE_NO_PAD.encode(self.keys.sign(PURPOSE, query.as_bytes()));
        format!("{}{PATH}?{query}&signature={signature}", self.site)
    }
}

/// What a link means whose query is given, if it is good.
pub fn read(query: &str, keys: &Keys, now_us: i64) -> Result<Reference, Refusal> {
    let (signed, signature) = query.split_once("&signature=").ok_or(Refusal::Forged)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Forged)?;
    if !keys.has_signed(PURPOSE, signed.as_bytes(), &signature) {
        return Err(Refusal::Forged);
    }
    let mut said: HashMap<_, _> = form_urlencoded::parse(signed.as_bytes()).into_owned().collect();
    let mut take = |name: &str| said.remove(name).ok_or(Refusal::Forged);
    let expires: i64 = take("expires")?.parse().map_err(|_| Refusal::Forged)?;
    if now_us.div_euclid(1_000_000) >= expires {
        return Err(Refusal::Expired);
    }
    let hash = unhex(&format!("\\x{}", take("sha256")?)).and_then(|hash| hash.try_into().ok());
    Ok(Reference {
        form: take("form")?,
        entry_id: take("entry_id")?,
        field: take("field")?,
        name: take("name")?,
        media_type: take("type")?,
        hash: hash.ok_or(Refusal::Forged)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::SealingKey;

    const NOW_US: i64 = 1_795_341_671_123_456;

    fn reference() -> Reference {
        Reference {
            form: "HPD:Help Desk".into(),
            entry_id: "a|b&c=ä".into(),
            field: "Attachment 1".into(),
            name: "x&signature=y.png".into(),
            media_type: "image/png".into(),
            hash: [7; 32],
        }
    }

    fn references(keys: &[&SealingKey]) -> References {
        let keys = Keys::new(keys.iter().map(|key| (*key).clone()).collect()).unwrap();
        References { site: "https://desk.example".into(), keys: Arc::new(keys) }
    }

    fn query(href: &str) -> &str {
        href.strip_prefix("https://desk.example/attachments?").unwrap()
    }

    // R-AR-78
    #[test]
    fn a_link_is_good_for_a_week_and_as_it_was_signed() {
        let (key, other) = (SealingKey::generate(), SealingKey::generate());
        let ours = references(&[&key]);
        let href = ours.href(&reference(), NOW_US);
        let week_us = 7 * 86_400 * 1_000_000;
        let read = |query: &str, now_us| super::read(query, &ours.keys, now_us);
        assert_eq!(read(query(&href), NOW_US + week_us - 2_000_000), Ok(reference()));
        assert_eq!(read(query(&href), NOW_US + week_us), Err(Refusal::Expired));
        let strange = references(&[&other]).href(&reference(), NOW_US);
        assert_eq!(read(query(&strange), NOW_US), Err(Refusal::Forged));
        // a key that is no longer the newest still opens
        let changed = references(&[&other, &key]);
        assert_eq!(super::read(query(&href), &changed.keys, NOW_US), Ok(reference()));
    }

    #[test]
    fn whatever_is_changed_in_a_link_makes_it_none() {
        let ours = references(&[&SealingKey::generate()]);
        let href = ours.href(&reference(), NOW_US);
        let query = query(&href);
        for at in 0..query.len() {
            let mut bytes = query.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            // the last character of the signature has bits that say nothing; decoding refuses other ones
            assert_eq!(read(&changed, &ours.keys, NOW_US), Err(Refusal::Forged), "{at}: {changed}");
        }
        for query in ["", "signature=", "&signature=", &query[..query.find("&signature").unwrap()]] {
            assert_eq!(read(query, &ours.keys, NOW_US), Err(Refusal::Forged), "{query}");
        }
    }
}
