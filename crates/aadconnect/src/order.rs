//! Precedence: rules that stand behind or before another one instead of having a number, and numbers given twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::Rule;

/// Orders the rules, and gives each a number that no other rule of its connector and object types has. Says what it
/// changed.
pub(crate) fn settle(rules: &mut Vec<Rule>, remarks: &mut Vec<String>) {
    rules.sort_by_key(|rule| rule.precedence); // stable: rules of one number keep the order of the files
    let placed = |rule: &Rule| rule.precedence == 0 && (rule.after.is_some() || rule.before.is_some());
    let (mut waiting, mut ordered): (Vec<Rule>, Vec<Rule>) =
        std::mem::take(rules).into_iter().partition(placed);
    // One may stand beside another that waits, too.
    while !waiting.is_empty() {
        let found = waiting.iter().enumerate().find_map(|(index, rule)| {
            let at = |id: &Option<String>| {
                let id = id.as_deref()?;
                ordered.iter().position(|other| other.id == id)
            };
            at(&rule.after).map(|at| at + 1).or_else(|| at(&rule.before)).map(|at| (index, at))
        });
        let Some((index, at)) = found else { break };
        let rule = waiting.remove(index);
        ordered.insert(at, rule);
    }
    for rule in waiting {
        remarks.push(format!(
            "rule `{}` has no precedence, and the rule beside which it stands is not in the export: it comes first",
            rule.name
        ));
        ordered.insert(0, rule);
    }
    number(&mut ordered, remarks);
    *rules = ordered;
}

/// Whether the numbers can stay as they are: none is 0 and ascending, none is given twice where that would be chance.
fn number(rules: &mut [Rule], remarks: &mut Vec<String>) {
    let mut seen: BTreeMap<(&str, bool, u32), Vec<&str>> = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for rule in rules.iter() {
        let names = seen.entry((rule.connector.as_str(), rule.inbound, rule.precedence)).or_default();
        names.push(&rule.name);
        if names.len() > 1 {
            twice.insert(names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and "));
        }
    }
    let ascending = rules.windows(2).all(|pair| match pair {
        [a, b] => a.precedence <= b.precedence,
        _ => true,
    });
    if ascending && twice.is_empty() {
        return;
    }
    for names in twice {
        remarks.push(format!("{names} have one precedence: the one that comes first in the export wins"));
    }
    remarks.push(
        "rules have new numbers, in the order of the export: it had rules with one number, or with a place \
         instead of a number"
            .to_owned(),
    );
    for (rule, number) in rules.iter_mut().zip(1..) {
        rule.precedence = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkType;

    fn rule(id: &str, precedence: u32, after: &str, before: &str) -> Rule {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Rule {
            place: (String::new(), 1, 1),
            id: id.to_owned(),
            name: id.to_owned(),
            description: String::new(),
            tag: String::new(),
            inbound: true,
            connector: "c".to_owned(),
            object: "user".to_owned(),
            metaverse: "person".to_owned(),
            link: LinkType::Join,
            precedence,
            after: some(after),
            before: some(before),
            disabled: false,
            password_sync: false,
            soft_delete: None,
            scope: Vec::new(),
            join: Vec::new(),
            flows: Vec::new(),
        }
    }

    fn settled(mut rules: Vec<Rule>) -> (Vec<(String, u32)>, Vec<String>) {
        let mut remarks = Vec::new();
        settle(&mut rules, &mut remarks);
        (rules.into_iter().map(|rule| (rule.id, rule.precedence)).collect(), remarks)
    }

    #[test]
    fn numbers_that_are_good_stay() {
        let (rules, remarks) = settled(vec![rule("b", 101, "", ""), rule("a", 100, "zero", "")]);
        assert_eq!(rules, [("a".to_owned(), 100), ("b".to_owned(), 101)]);
        assert!(remarks.is_empty(), "{remarks:?}");
    }

    #[test]
    fn rules_take_their_place_beside_others() {
        let (rules, _) = settled(vec![
            rule("a", 100, "", ""),
            rule("d", 0, "c", ""),
            rule("c", 0, "a", "b"),
            rule("b", 101, "", ""),
            rule("first", 0, "", "a"),
        ]);
        let order: Vec<&str> = rules.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(order, ["first", "a", "c", "d", "b"]);
        assert_eq!(rules.iter().map(|r| r.1).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn one_number_for_two_is_said_and_resolved() {
        let (rules, remarks) = settled(vec![rule("a", 100, "", ""), rule("b", 100, "", "")]);
        assert_eq!(rules, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert!(remarks[0].contains("`a` and `b`"), "{remarks:?}");
        let (_, remarks) = settled(vec![rule("x", 0, "nowhere", "")]);
        assert!(remarks[0].contains("`x`"), "{remarks:?}");
    }
}
