//! What somebody may have meant, as a remedy.

use crate::nearby::nearest;

/// A remedy that names the nearest candidate, or else all of them if they are few.
pub(super) fn remedy<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(near) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean {near:?}?"));
    }
    let all: Vec<String> = candidates.into_iter().map(|candidate| format!("{candidate:?}")).collect();
    (!all.is_empty() && all.len() <= 40).then(|| format!("known here: {}", all.join(", ")))
}
