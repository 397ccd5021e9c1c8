//! Names that somebody may have meant.

/// Names close to a wrong one, closest first, at most three.
pub(super) fn nearby<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wrong_lower = wrong.to_lowercase();
    let far = wrong.chars().count().max(3) / 3 + 1;
    let mut close: Vec<(usize, &str)> = names
        .into_iter()
        .map(|name| (distance(&wrong_lower, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance < far)
        .collect();
    close.sort_unstable();
    close.dedup();
    close.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// How many characters have to be put in, left out or replaced to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_close_is_suggested() {
        let names = ["number", "short_description", "status", "Status", "state"];
        assert_eq!(nearby("stats", names), ["Status", "state", "status"]);
        assert_eq!(nearby("short_desciption", names), ["short_description"]);
        assert_eq!(nearby("NUMBER", names), ["number"]);
        assert_eq!(nearby("priority", names), [""; 0]);
    }
}
