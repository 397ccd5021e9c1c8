//! What somebody may have meant by a word that nobody knows.

/// A longer word is nobody's slip, and the work grows with the square.
const CHARACTERS_MAX: usize = 64;

/// The candidate that is nearest to a word, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(word, candidates).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// The candidates that are near enough to be meant, nearest first, at most three.
pub fn nearby<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut close: Vec<(usize, &str)> = near(word, candidates).collect();
    close.sort_unstable();
    close.dedup();
    close.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// A remedy that names the nearest candidate, or else all of them if they are few.
pub fn remedy<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean {near:?}?"));
    }
    let all: Vec<String> = candidates.into_iter().map(|candidate| format!("{candidate:?}")).collect();
    (!all.is_empty() && all.len() <= 40).then(|| format!("known here: {}", all.join(", ")))
}

fn near<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = (usize, &'a str)> {
    let word = plain(word);
    candidates.into_iter().filter_map(move |candidate| {
        let plain = plain(candidate);
        let far_max = plain.len().max(3) / 3;
        if plain.len().abs_diff(word.len()) > far_max {
            return None;
        }
        let distance = distance(&word, &plain);
        (distance <= far_max).then_some((distance, candidate))
    })
}

/// Letter case and the choice of separator are the commonest slips and count nothing.
fn plain(word: &str) -> Vec<char> {
    let lower = word.chars().flat_map(char::to_lowercase).take(CHARACTERS_MAX);
    lower.map(|c| if c == '-' || c == ' ' { '_' } else { c }).collect()
}

/// How many characters have to be put in, taken out, replaced or swapped with their neighbour (optimal string
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
        let words = ["slot", "publication", "in_flight_max", "entry_id", "Größe"];
        for (word, wanted) in [
            ("slott", Some("slot")),
            ("solt", Some("slot")),
            ("Publication", Some("publication")),
            ("in-flight-max", Some("in_flight_max")),
            ("entryid", Some("entry_id")),
            ("GRÖSE", Some("Größe")),
            ("password", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words), wanted, "{word:?}");
        }
    }

    #[test]
    fn what_is_close_is_listed() {
        let names = ["number", "short_description", "status", "Status", "state", "status"];
        assert_eq!(nearby("stats", names), ["Status", "state", "status"]);
        assert_eq!(nearby("short_desciption", names), ["short_description"]);
        assert_eq!(nearby("NUMBER", names), ["number"]);
        assert_eq!(nearby("priority", names), [""; 0]);
    }
}
