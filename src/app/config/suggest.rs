//! What somebody may have meant.

/// The candidate that is nearest to a word, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(&plain, &self::plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(3) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A remedy that names the nearest candidate, or else all of them if they are few.
pub(in crate::app) fn remedy<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(near) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean {near:?}?"));
    }
    let all: Vec<String> = candidates.into_iter().map(|candidate| format!("{candidate:?}")).collect();
    (!all.is_empty() && all.len() <= 40).then(|| format!("known here: {}", all.join(", ")))
}

/// Letter case and the choice of separator are the commonest slips and count nothing.
fn plain(word: &str) -> Vec<char> {
    // a longer word is nobody's slip, and the distance is quadratic
    word.chars().take(64).map(|c| if c == '-' || c == ' ' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// How many letters have to be put in, taken out, replaced or swapped with their neighbour (optimal string
/// alignment).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_nothing_far() {
        let words = ["slot", "publication", "in_flight_max", "entry_id"];
        for (word, wanted) in [
            ("slott", Some("slot")),
            ("solt", Some("slot")),
            ("Publication", Some("publication")),
            ("in-flight-max", Some("in_flight_max")),
            ("entryid", Some("entry_id")),
            ("password", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words), wanted, "{word:?}");
        }
    }
}
