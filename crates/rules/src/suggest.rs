//! Did you mean: the known word nearest to an unknown one.

use onesync_model::fold_case;

/// The words compared; a schema with more is searched only this far. AD with Exchange has about 4,000.
const CANDIDATES_MAX: usize = 20_000;

/// The candidate nearest to `word`, unless all are too far to be meant.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = fold_case(word).chars().collect();
    let limit = word.len() / 3 + 1;
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter_map(|candidate| {
            let folded: Vec<char> = fold_case(candidate).chars().collect();
            (folded.len().abs_diff(word.len()) <= limit)
                .then(|| (distance(&word, &folded), candidate))
                .filter(|&(distance, _)| distance <= limit)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// A hint that proposes the nearest word.
pub(crate) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = [vec![0; width], (0..width).collect::<Vec<usize>>(), vec![0; width]];
    for (i, ca) in a.iter().enumerate() {
        let [before, last, row] = &mut rows;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(ca != cb);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && ca == &b[j - 1] && a[i - 1] == *cb {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_word() {
        let words = ["displayName", "givenName", "department", "dn"];
        assert_eq!(nearest("dispalyName", words), Some("displayName"));
        assert_eq!(nearest("GIVENNAMES", words), Some("givenName"));
        assert_eq!(nearest("departement", words), Some("department"));
        assert_eq!(nearest("telephoneNumber", words), None);
        assert_eq!(nearest("", words), None);
    }
}
