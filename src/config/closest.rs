//! The known word nearest in spelling to one that isn't known.

/// The nearest of `known`, when it is near enough for a slip of the fingers: a third of the word's letters, two at least
/// for a word of four letters or more.
pub(super) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    let near_enough = if length < 4 { 1 } else { (length / 3).max(2) };
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= near_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: insertions, deletions and substitutions, one row of the table at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut previous = vec![index + 1];
        for ((to, above), above_left) in right.iter().zip(row.iter().skip(1)).zip(&row) {
            let beside = previous.last().copied().unwrap_or(usize::MAX);
            let kept = above_left + usize::from(from != *to);
            previous.push(kept.min(above + 1).min(beside.saturating_add(1)));
        }
        row = previous;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, known: &[&str], expected: Option<&str>) {
        assert_eq!(closest(word, known.iter().copied()), expected);
    }

    #[test]
    fn a_slip_finds_its_word_and_another_word_finds_none() {
        check("liste", &["listen"], Some("listen"));
        check("lsiten", &["listen"], Some("listen"));
        check("Listen", &["listen"], Some("listen"));
        check("network", &["credential", "networks"], Some("networks"));
        check("gihub", &["gitlab", "github"], Some("github"));
        check("port", &["paths", "ports"], Some("ports"));
        check("wildly_different", &["listen", "networks"], None);
        check("", &["listen"], None);
        check("x", &[], None);
    }
}
