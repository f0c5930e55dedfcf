//! "Did you mean": the nearest right spelling of a wrong name.

/// Names longer than this are not compared: the work grows with the square of the length.
const LENGTH_MAX: usize = 64;

/// The name that was most likely meant: equal without regard to case, else at most two edits away.
pub(crate) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if wrong.len() > LENGTH_MAX {
        return None;
    }
    let limit = if wrong.len() <= 4 { 1 } else { 2 };
    let lower = wrong.to_lowercase();
    names
        .into_iter()
        .filter(|name| name.len().abs_diff(wrong.len()) <= limit * 4)
        .map(|name| (distance(&lower, &name.to_lowercase()), name))
        .filter(|&(distance, _)| distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// The hint for a wrong name.
pub(crate) fn did_you_mean<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(wrong, names).map(|name| format!("did you mean `{name}`?"))
}

/// How many characters must be inserted, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, cb) in row.iter_mut().skip(1).zip(&b) {
            let above = *slot;
            left = (above + 1).min(left + 1).min(diagonal + usize::from(ca != *cb));
            diagonal = above;
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["IsPresent", "IsNull", "InStr", "IIF", "Left"];
        assert_eq!(nearest("ispresent", names), Some("IsPresent"));
        assert_eq!(nearest("IsPresnt", names), Some("IsPresent"));
        assert_eq!(nearest("IF", names), Some("IIF"));
        assert_eq!(nearest("Concatenate", names), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
