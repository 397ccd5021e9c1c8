//! Cursors of pages: opaque texts that say behind what the next page begins.

use crate::queue::Place;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a cursor of deliveries begins with; another version means something else by its bytes.
const VERSION: u8 = 1;

/// The cursor behind a delivery.
pub(super) fn write(Place(place): Place) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&place.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where a page begins; none where the text is no cursor of ours.
pub(super) fn read(text: &str) -> Option<Place> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (&version, place) = bytes.split_first()?;
    let place = u64::from_be_bytes(place.try_into().ok()?);
    // places are numbers of a database, which have a sign
    (version == VERSION && i64::try_from(place).is_ok()).then_some(Place(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_anything_else_is_none() {
        for place in [0, 1, 77 << 24 | 3, i64::MAX.cast_unsigned()] {
            assert_eq!(read(&write(Place(place))), Some(Place(place)));
        }
        assert_eq!(read(&write(Place(u64::MAX))), None);
        for text in ["", "A", "AQ", "AQAAAAAAAAAAAA", "AgAAAAAAAAAA", "%%%", "ä", "AQAAAAAAAAA="] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
