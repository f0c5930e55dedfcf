//! Shipped rules that changed since a configuration took them: three ways come together, the text as it was shipped
//! then, as it is in the configuration, and as it is shipped now.
//!
//! The tag of a shipped rule ends with the number of its text (`OneSync.InFromADUserJoin.001`), so a rule file says by
//! itself what it was made from. Nothing is overwritten here: what comes out is for a person to look at, as any other
//! change of a configuration.

use crate::RuleFile;
use crate::stock::{STOCK, USER_JOIN_MAIL, for_source};

/// Texts that were shipped by earlier releases, by tag: a rule whose text changes after a release leaves the old one
/// here, under `stock/earlier/`, and takes the next number.
const EARLIER: &[(&str, &str)] = &[];

/// A shipped rule of a configuration whose shipped text is another one by now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShippedChange {
    /// The file in the configuration.
    pub path: String,
    /// The tag that the file has.
    pub from: String,
    /// The tag that is shipped now.
    pub to: String,
    /// What comes of it.
    pub merge: Merge,
}

/// How three texts come together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merge {
    /// The file was as it was shipped: the new text.
    Taken(String),
    /// The file was customised elsewhere than the shipped text changed: both changes.
    Merged(String),
    /// Both changed the same lines: the text with marks of conflict, as version control writes them.
    Conflict(String),
    /// It is not known any more what the file was made from.
    Unknown,
}

/// The shipped rules of a configuration that are shipped with another text now, in the order of the files. Files without
/// a tag of ours are left out: imported rules, and one's own.
#[must_use]
pub fn shipped_changes(files: &[RuleFile]) -> Vec<ShippedChange> {
    let current: Vec<&str> = STOCK.iter().map(|(_, text)| *text).chain([USER_JOIN_MAIL]).collect();
    changes(files, &current, EARLIER)
}

fn changes(files: &[RuleFile], current: &[&str], earlier: &[(&str, &str)]) -> Vec<ShippedChange> {
    let change = |file: &RuleFile| {
        let from = value(&file.text, "tag")?;
        let (name, _) = numbered(from)?;
        let (to, shipped) = current.iter().find_map(|text| {
            let to = value(text, "tag")?;
            (numbered(to)?.0 == name).then_some((to, *text))
        })?;
        if from == to {
            return None;
        }
        let source = value(&file.text, "connector").and_then(|connector| connector.strip_prefix("kind:"));
        let source = source.filter(|kind| *kind != "graph").unwrap_or("ad");
        let merge = match earlier.iter().find(|(tag, _)| *tag == from) {
            None => Merge::Unknown,
            Some((_, then)) => merge(&for_source(then, source), &file.text, &for_source(shipped, source)),
        };
        Some(ShippedChange { path: file.path.clone(), from: from.to_owned(), to: to.to_owned(), merge })
    };
    files.iter().filter_map(change).collect()
}

fn merge(then: &str, ours: &str, now: &str) -> Merge {
    if then == ours {
        return Merge::Taken(now.to_owned());
    }
    match diffy::merge(then, ours, now) {
        Ok(text) => Merge::Merged(text),
        Err(text) => Merge::Conflict(text),
    }
}

/// A tag without the number of its text, and that number.
fn numbered(tag: &str) -> Option<(&str, u32)> {
    let (name, number) = tag.strip_prefix("OneSync.").and_then(|rest| rest.rsplit_once('.'))?;
    Some((name, number.parse().ok()?))
}

/// The text of a key at the head of a rule file. Read by line, so that a file with mistakes elsewhere is found, too.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let head = text.lines().take_while(|line| !line.starts_with('['));
    let line = head.filter_map(|line| line.split_once('=')).find(|(name, _)| name.trim() == key)?.1;
    line.trim().strip_prefix('"')?.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str = "name = \"a\"\ntag = \"OneSync.A.001\"\nconnector = \"kind:ad\"\nprecedence = 1\n\n[flow]\nx = \"[x]\"\ny = \"[y]\"\nz = \"[z]\"\nw = \"[w]\"\n";

    fn now() -> String {
        THEN.replace("A.001", "A.002").replace("\"[w]\"", "\"Trim([w])\"")
    }

    fn of(text: &str) -> Vec<ShippedChange> {
        let file = RuleFile { path: "rules/a.toml".to_owned(), text: text.to_owned() };
        changes(&[file], &[&now()], &[("OneSync.A.001", THEN)])
    }

    #[test]
    fn a_rule_as_it_was_shipped_gets_the_new_text() {
        assert_eq!(of(THEN)[0].merge, Merge::Taken(now()));
        assert_eq!((of(THEN)[0].from.as_str(), of(THEN)[0].to.as_str()), ("OneSync.A.001", "OneSync.A.002"));
    }

    #[test]
    fn a_customised_rule_keeps_what_was_made_of_it() {
        let ours = THEN.replace("\"[x]\"", "\"UCase([x])\"");
        let both = now().replace("\"[x]\"", "\"UCase([x])\"");
        assert_eq!(of(&ours)[0].merge, Merge::Merged(both));
    }

    #[test]
    fn lines_that_both_changed_are_marked() {
        let Merge::Conflict(text) = &of(&THEN.replace("\"[w]\"", "\"LCase([w])\""))[0].merge else {
            panic!("a conflict is none")
        };
        assert!(text.contains("<<<<<<<") && text.contains("LCase") && text.contains("Trim"), "{text}");
    }

    #[test]
    fn a_file_for_another_kind_of_source_is_compared_with_the_text_for_it() {
        let ours = for_source(THEN, "jsonl");
        assert_ne!(
            ours,
            THEN.replace("kind:ad", "kind:jsonl"),
            "a source without schema has optional attributes"
        );
        assert_eq!(of(&ours)[0].merge, Merge::Taken(for_source(&now(), "jsonl")));
    }

    #[test]
    fn what_is_not_ours_or_not_known_is_not_guessed_at() {
        assert_eq!(of(&THEN.replace("OneSync.A.001", "Microsoft.A.001")), []);
        assert_eq!(of(&now()), []);
        assert_eq!(of(&THEN.replace("A.001", "A.000"))[0].merge, Merge::Unknown);
    }

    #[test]
    fn every_shipped_rule_has_a_tag_of_its_own_with_a_number() {
        let mut tags: Vec<_> = STOCK
            .iter()
            .map(|(_, text)| *text)
            .chain([USER_JOIN_MAIL])
            .map(|text| value(text, "tag"))
            .collect();
        assert!(tags.iter().all(|tag| tag.and_then(numbered).is_some()), "{tags:?}");
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), STOCK.len() + 1);
    }

    /// What was released must be known for the next merge: a text that changes after a release takes the next number.
    #[test]
    fn no_text_changes_under_its_number() {
        let lines = STOCK.iter().map(|(_, text)| *text).chain([USER_JOIN_MAIL]).map(|text| {
            format!("{} {}\n", value(text, "tag").unwrap(), onesync_model::hash128(&[text.as_bytes()]))
        });
        let now: String = lines.collect();
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/stock/released.txt");
        if std::env::var_os("ONESYNC_WRITE_DOCS").is_some() {
            std::fs::write(place, &now).unwrap();
        }
        assert_eq!(
            now,
            std::fs::read_to_string(place).unwrap(),
            "a shipped rule changed: when its number was released, keep the old text in stock/earlier/, name it in EARLIER \
             and raise the number; then run this test with ONESYNC_WRITE_DOCS=1"
        );
    }
}
