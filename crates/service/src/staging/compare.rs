//! Two servers' parts of one target, compared object by object.
//!
//! Each object of the file is looked up here by its keys; a bit for each row here tells afterwards what the other server
//! does not have. Of link values and deletions of the other one only hashes are kept. So memory grows by a bit for each
//! object here, and by 16 to 24 bytes for each link value and deletion that is owed there.

use std::collections::{BTreeMap, BTreeSet};

use onesync_model::{CsId, Hash128, Time};
use onesync_store::StoreReader;

use super::Groups;
use super::diff::{ConnectorDiff, Counted};
use super::file::{Head, Line, Reader};
use super::side::{Change, Entry, LinkChange, PAGE, Side, Stands, Taken, deletion_hash, link_hash};
use crate::error::ServiceError;
use crate::import::Seen;
use crate::plan::Effect;
use crate::runtime::Runtime;

/// Deletions of both servers whose times are not further apart are the same: cycles are not at one time.
const GRACE_GAP_SECONDS: i64 = 86_400;
/// When something is done with the next export, where what is done later is counted in seconds since 1970.
const NOW: i64 = i64::MIN;

/// Compares all targets.
pub(super) fn compare(
    reader: &dyn StoreReader,
    runtime: &Runtime,
    here: &Head,
    file: &mut Reader,
    now: Time,
    limit: usize,
) -> Result<Vec<ConnectorDiff>, ServiceError> {
    let mut all: Vec<Comparison<'_>> = Vec::new();
    for connector in runtime.connectors.iter().filter(|c| c.capabilities.export) {
        all.push(Comparison::new(Side::new(reader, runtime, connector)?, now, limit));
    }
    let mut at = None;
    while let Some(line) = file.line()? {
        if let Line::Connector(name) = line {
            at = all.iter().position(|one| one.side.connector.name().eq_ignore_ascii_case(&name));
            continue;
        }
        let Some(one) = at.and_then(|at| all.get_mut(at)) else { continue };
        match line {
            Line::Object(entry) => one.object(entry)?,
            Line::Link(link) => one.link(&link),
            Line::Connector(_) => {}
        }
    }
    let imported = |head: &Head, name: &str| {
        head.connectors.iter().find(|c| c.name.eq_ignore_ascii_case(name)).and_then(|c| c.imported.clone())
    };
    let times = |name: &str| (imported(here, name), imported(&file.head, name));
    all.into_iter().map(|one| one.done(times)).collect()
}

/// A link value of the other server.
struct LinkThere {
    hash: Hash128,
    attribute: u16,
    add: bool,
    owed: bool,
    met: bool,
}

/// One target of both servers.
struct Comparison<'a> {
    side: Side<'a>,
    now: Time,
    limit: usize,
    groups: Groups,
    /// Objects of the file that are to be looked up.
    waiting: Vec<Entry>,
    /// Rows here that the file names.
    seen: Seen,
    /// Hashes of what the other server takes away, too, and when.
    explained: Vec<(Hash128, i64)>,
    /// Hashes of what it would take away and does not: it is held there, refused or rejected.
    stopped: Vec<(Hash128, Stands)>,
    links: Vec<LinkThere>,
    /// Names of link attributes.
    attributes: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn new(side: Side<'a>, now: Time, limit: usize) -> Self {
        Self {
            side,
            now,
            limit,
            groups: Groups { samples: limit, groups: BTreeMap::new() },
            waiting: Vec::new(),
            seen: Seen::default(),
            explained: Vec::new(),
            stopped: Vec::new(),
            links: Vec::new(),
            attributes: Vec::new(),
        }
    }

    /// Takes an object of the file.
    fn object(&mut self, entry: Entry) -> Result<(), ServiceError> {
        let name = self.side.connector.name();
        let hash = |taken| deletion_hash(name, taken, &entry.key);
        self.explained.extend(explains(&entry).into_iter().map(|(taken, at)| (hash(taken), at)));
        if let Some((taken, stands)) = stops(&entry) {
            self.stopped.push((hash(taken), stands));
        }
        self.waiting.push(entry);
        if self.waiting.len() >= PAGE { self.look_up() } else { Ok(()) }
    }

    /// Takes a link value of the file.
    fn link(&mut self, link: &LinkChange) {
        let hash = link_hash(self.side.connector.name(), link);
        match link.stands {
            _ if link.add => {}
            stands if stands.is_done() => self.explained.push((hash, NOW)),
            stands => self.stopped.push((hash, stands)),
        }
        if link.stands == Stands::Rejected {
            return;
        }
        let known = self.attributes.iter().position(|name| *name == link.attribute);
        let attribute = known.unwrap_or_else(|| {
            self.attributes.push(link.attribute.clone());
            self.attributes.len() - 1
        });
        // No directory has so many link attributes.
        let attribute = u16::try_from(attribute).unwrap_or(u16::MAX);
        let owed = link.stands.is_owed();
        self.links.push(LinkThere { hash, attribute, add: link.add, owed, met: false });
    }

    /// Looks up the objects that wait.
    fn look_up(&mut self) -> Result<(), ServiceError> {
        let waiting = std::mem::take(&mut self.waiting);
        let rows = self.side.find(&waiting)?;
        let ids: Vec<CsId> = rows.iter().flatten().map(|row| row.id).collect();
        let exports = self.side.exports(&ids)?;
        for (there, row) in waiting.into_iter().zip(rows) {
            let here = row.and_then(|row| {
                self.seen.insert(row.id);
                self.side.entry(&row, exports.get(&row.id))
            });
            self.pair(here.as_ref(), Some(&there));
        }
        Ok(())
    }

    /// What is different about one object.
    fn pair(&mut self, here: Option<&Entry>, there: Option<&Entry>) {
        let Some(entry) = here.or(there) else { return };
        note(&mut self.groups, entry, differences(here, there));
    }

    /// Compares what the file does not name, link values and deletions.
    fn done(
        mut self,
        times: impl Fn(&str) -> (Option<String>, Option<String>),
    ) -> Result<ConnectorDiff, ServiceError> {
        self.look_up()?;
        self.side.entries(&mut |(id, entry)| {
            if !self.seen.contains(id) {
                note(&mut self.groups, &entry, differences(Some(&entry), None));
            }
            Ok(())
        })?;
        self.compare_links()?;
        self.explained.sort_unstable();
        self.explained.dedup_by_key(|(hash, _)| *hash); // the earliest stays
        self.stopped.sort_unstable_by_key(|(hash, _)| *hash);
        let (mut unexplained, mut known) = (Counted::naming(self.limit), Vec::new());
        self.side.deletions(&mut |deletion| {
            let (hash, here) = (deletion.hash, deletion.at.unwrap_or(self.now.seconds()));
            let there = self.explained.binary_search_by_key(&hash, |(hash, _)| *hash).ok();
            let there = there.and_then(|at| self.explained.get(at)).map(|(_, there)| *there);
            if there.is_some_and(|there| there <= here.saturating_add(GRACE_GAP_SECONDS)) {
                known.push(hash);
                return Ok(());
            }
            let stopped = self.stopped.binary_search_by_key(&hash, |(hash, _)| *hash).ok();
            if let Some((_, stands)) = stopped.and_then(|at| self.stopped.get(at)) {
                self.groups.add(0, stop_words(*stands), String::new(), Some(deletion.text.clone()), 1);
            }
            unexplained.take(deletion);
            Ok(())
        })?;
        let name = self.side.connector.name().to_owned();
        let (imported_here, imported_there) = times(&name);
        Ok(ConnectorDiff {
            connector: name,
            imported_here,
            imported_there,
            unexplained: unexplained.done(),
            explained: known.len() as u64,
            groups: self.groups.groups.into_values().collect(),
            known,
        })
    }

    fn compare_links(&mut self) -> Result<(), ServiceError> {
        self.links.sort_unstable_by_key(|link| link.hash);
        let name = self.side.connector.name();
        let single = &self.side.runtime.policies.of(self.side.connector.id).single_links;
        let is_single = |attribute: &str| {
            let id = self.side.runtime.names.find(attribute);
            id.is_some_and(|id| single.binary_search(&id).is_ok())
        };
        self.side.links(&mut |link| {
            let hash = link_hash(name, &link);
            if let Ok(at) = self.links.binary_search_by_key(&hash, |there| there.hash) {
                if let Some(there) = self.links.get_mut(at) {
                    there.met = true;
                }
                return Ok(());
            }
            // What takes a member away is told apart.
            if link.stands.is_owed() && (link.add || is_single(&link.attribute)) {
                self.groups.add(6, link_words("here", link.add), link.attribute, None, 1);
            }
            Ok(())
        })?;
        for link in self.links.iter().filter(|link| link.owed && !link.met) {
            let attribute = self.attributes.get(usize::from(link.attribute)).cloned().unwrap_or_default();
            self.groups.add(7, link_words("there", link.add), attribute, None, 1);
        }
        Ok(())
    }
}

/// What an object of the other server explains here, and when that is done there. What is held or refused there may
/// never be done.
fn explains(entry: &Entry) -> Vec<(Taken, i64)> {
    let change = entry.change.as_ref();
    let does = change.filter(|change| change.stands.is_done()).map(|change| change.effect);
    let stays_on = change.is_some_and(|change| change.effect == Effect::Disable && !change.stands.is_done());
    let mut out = Vec::new();
    // Who deletes there has nothing against disabling here; the reverse is worse than what is done there.
    if does == Some(Effect::Delete) {
        out.push((Taken::Delete, NOW));
    }
    if matches!(does, Some(Effect::Delete | Effect::Disable)) {
        out.push((Taken::Disable, NOW));
    }
    if let Some(leaving) = entry.leaving {
        if leaving.disabled && !stays_on {
            out.push((Taken::Disable, NOW));
        }
        if let Some(at) = leaving.deleted {
            out.push((Taken::Delete, at));
            out.push((Taken::Disable, at));
        }
    }
    out
}

/// What the other server would take away and does not.
fn stops(entry: &Entry) -> Option<(Taken, Stands)> {
    let change = entry.change.as_ref().filter(|change| !change.stands.is_done())?;
    match change.effect {
        Effect::Delete => Some((Taken::Delete, change.stands)),
        Effect::Disable => Some((Taken::Disable, change.stands)),
        _ => None,
    }
}

fn stop_words(stands: Stands) -> &'static str {
    match stands {
        Stands::Rejected => {
            "a person has rejected it there, and it is pending here: only --accept lets it go"
        }
        Stands::Refused => "the target refuses it there, and it is pending here: only --accept lets it go",
        _ => "a protection holds it there, and it is pending here: only --accept lets it go",
    }
}

/// Notes what is different about an object.
fn note(groups: &mut Groups, entry: &Entry, found: Vec<Difference>) {
    for (order, what, more) in found {
        let name = if more.is_empty() { entry.name.clone() } else { format!("{}: {more}", entry.name) };
        groups.add(order, &what, entry.object_type.clone(), Some(name), 1);
    }
}

fn link_words(place: &str, add: bool) -> &'static str {
    match (place, add) {
        ("here", true) => "only here: link values to add",
        ("here", false) => "only here: link values to remove",
        (_, true) => "only there: link values to add",
        (_, false) => "only there: link values to remove",
    }
}

/// Order, in words, more words.
type Difference = (u8, String, String);

/// What is different about one object.
fn differences(here: Option<&Entry>, there: Option<&Entry>) -> Vec<Difference> {
    let mut out = Vec::new();
    let change = |entry: Option<&'_ Entry>| entry.and_then(|entry| entry.change.clone());
    let (ours, theirs) = (change(here), change(there));
    // Whoever is about to create it will manage it.
    let creates =
        |change: &Option<Change>| change.as_ref().is_some_and(|change| change.effect == Effect::Create);
    let manages = |entry: Option<&Entry>, change: &Option<Change>| {
        entry.is_some_and(|entry| entry.managed) || creates(change)
    };
    match (manages(here, &ours), manages(there, &theirs)) {
        (false, true) if !creates(&theirs) => {
            out.push((1, "managed only there: a switch-over abandons them".to_owned(), String::new()));
        }
        (true, false) if !creates(&ours) => {
            out.push((2, "managed only here".to_owned(), String::new()));
        }
        _ => {}
    }
    let to_come = |entry: Option<&Entry>| entry.and_then(|entry| entry.leaving?.deleted);
    let deletes = ours.as_ref().is_some_and(|change| change.effect == Effect::Delete);
    // What is here only is told apart.
    if let (None, Some(at)) = (to_come(here), to_come(there))
        && !deletes
    {
        let what = "only there: delete when the grace time is over".to_owned();
        out.push((4, what, Time::from_seconds(at).to_string()));
    }
    let same = match (&ours, &theirs) {
        (Some(a), Some(b)) => word(a.effect) == word(b.effect) && a.attributes == b.attributes,
        _ => false,
    };
    if same {
        return out;
    }
    let owed = |change: &Option<Change>| change.clone().filter(|change| change.stands.is_owed());
    match (owed(&ours), owed(&theirs)) {
        (Some(a), Some(b)) => {
            let names: BTreeSet<&String> = a.attributes.keys().chain(b.attributes.keys()).collect();
            let mut parts: Vec<String> = names
                .into_iter()
                .filter(|&name| a.attributes.get(name) != b.attributes.get(name))
                .map(|name| {
                    let shown = |change: &Change| {
                        change
                            .attributes
                            .get(name)
                            .map_or_else(|| "unchanged".to_owned(), ToString::to_string)
                    };
                    format!("{name}: {} here, {} there", shown(&a), shown(&b))
                })
                .collect();
            if word(a.effect) != word(b.effect) {
                parts.insert(0, format!("{} here, {} there", word(a.effect), word(b.effect)));
            }
            out.push((5, "pending on both, and different".to_owned(), parts.join("; ")));
        }
        // What takes something away is told apart.
        (Some(a), None) if a.takes().is_none() => {
            out.push((3, format!("only here: {}", word(a.effect)), names(&a)));
        }
        (None, Some(b)) => out.push((4, format!("only there: {}", word(b.effect)), names(&b))),
        (Some(_) | None, None) => {}
    }
    out
}

fn names(change: &Change) -> String {
    let told = change.attributes.iter().map(|(name, value)| format!("{name} -> {value}"));
    told.collect::<Vec<_>>().join("; ")
}

/// What is adopted on one server may have been updated by the other one for years.
fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Create => "create",
        Effect::Delete => "delete",
        Effect::Disable => "disable",
        _ => "update",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::side::Leaving;
    use super::*;

    /// What is owed: effect, state, attributes.
    type Owed<'a> = (Effect, Stands, &'a [(&'a str, &'a str)]);

    fn entry(managed: bool, change: Option<Owed<'_>>) -> Entry {
        let change = change.map(|(effect, stands, attributes)| Change {
            effect,
            stands,
            attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect(),
        });
        let (object_type, name) = ("user".into(), "Anna".into());
        Entry { object_type, key: Default::default(), name, managed, change, leaving: None }
    }

    fn said(here: Option<&Entry>, there: Option<&Entry>) -> Vec<String> {
        let text =
            |(_, what, more): Difference| if more.is_empty() { what } else { format!("{what} ({more})") };
        differences(here, there).into_iter().map(text).collect()
    }

    #[test]
    fn what_only_one_server_manages_or_owes_is_told() {
        let quiet = entry(true, None);
        assert_eq!(said(Some(&quiet), Some(&quiet)), Vec::<String>::new());
        assert_eq!(said(None, Some(&quiet)), ["managed only there: a switch-over abandons them"]);
        assert_eq!(said(Some(&quiet), None), ["managed only here"]);
        let update = entry(true, Some((Effect::Update, Stands::Pending, &[("department", "Sales")])));
        assert_eq!(said(Some(&update), Some(&quiet)), ["only here: update (department -> \"Sales\")"]);
        assert_eq!(said(Some(&quiet), Some(&update)), ["only there: update (department -> \"Sales\")"]);
        // It is created there already, or is about to be: nobody is abandoned.
        let create = entry(false, Some((Effect::Create, Stands::Pending, &[])));
        assert_eq!(said(Some(&quiet), Some(&create)), ["only there: create"]);
        assert_eq!(said(None, Some(&create)), ["only there: create"]);
    }

    #[test]
    fn only_what_is_done_there_explains_and_what_comes_later_explains_later() {
        let change = |effect, stands| entry(true, Some((effect, stands, &[])));
        for stands in [Stands::Pending, Stands::Sent] {
            let both = [(Taken::Delete, NOW), (Taken::Disable, NOW)];
            assert_eq!(explains(&change(Effect::Delete, stands)), both);
            assert_eq!(explains(&change(Effect::Disable, stands)), [(Taken::Disable, NOW)]);
            assert_eq!(stops(&change(Effect::Delete, stands)), None);
        }
        for stands in [Stands::Held, Stands::Refused, Stands::Rejected] {
            for (effect, taken) in [(Effect::Delete, Taken::Delete), (Effect::Disable, Taken::Disable)] {
                assert!(explains(&change(effect, stands)).is_empty());
                assert_eq!(stops(&change(effect, stands)), Some((taken, stands)));
            }
        }
        assert!(explains(&change(Effect::Update, Stands::Pending)).is_empty());
        let leaving = |deleted, disabled, change| Entry {
            leaving: Some(Leaving { deleted, disabled }),
            ..entry(true, change)
        };
        let later = [(Taken::Delete, 5), (Taken::Disable, 5)];
        assert_eq!(explains(&leaving(Some(5), false, None)), later);
        assert_eq!(explains(&leaving(None, true, None)), [(Taken::Disable, NOW)]);
        let off = explains(&leaving(Some(5), true, None));
        assert_eq!(off, [(Taken::Disable, NOW), (Taken::Delete, 5), (Taken::Disable, 5)]);
        // A person has said that the account stays on.
        let on = leaving(Some(5), true, Some((Effect::Disable, Stands::Rejected, &[])));
        assert_eq!(explains(&on), later);
        let told = said(Some(&entry(true, None)), Some(&leaving(Some(0), true, None)));
        assert_eq!(told, ["only there: delete when the grace time is over (1970-01-01T00:00:00Z)"]);
    }

    #[test]
    fn a_change_on_both_is_compared_by_attribute() {
        let change = |effect, stands, attributes| entry(true, Some((effect, stands, attributes)));
        let sales: &[(&str, &str)] = &[("department", "Sales"), ("title", "x")];
        let update = change(Effect::Update, Stands::Pending, sales);
        // Held, sent or adopted: what is written is the same.
        for (effect, stands) in [(Effect::Update, Stands::Held), (Effect::Adopt, Stands::Sent)] {
            assert_eq!(said(Some(&update), Some(&change(effect, stands, sales))), Vec::<String>::new());
        }
        let other = change(Effect::Update, Stands::Pending, &[("department", "Office"), ("title", "x")]);
        assert_eq!(
            said(Some(&update), Some(&other)),
            ["pending on both, and different (department: \"Sales\" here, \"Office\" there)"]
        );
        // What was sent there with other values, or was rejected, is not to be done there any more.
        for stands in [Stands::Sent, Stands::Rejected] {
            let done = change(Effect::Update, stands, &[("department", "Office")]);
            assert_eq!(said(Some(&update), Some(&done)).len(), 1);
            assert!(said(Some(&update), Some(&done))[0].starts_with("only here: update"));
            assert_eq!(said(Some(&entry(true, None)), Some(&done)), Vec::<String>::new());
        }
        // What takes something away is told apart here, and as it is there.
        let delete = change(Effect::Delete, Stands::Pending, &[]);
        assert_eq!(said(Some(&delete), Some(&entry(true, None))), Vec::<String>::new());
        assert_eq!(said(Some(&entry(true, None)), Some(&delete)), ["only there: delete"]);
        let told = said(Some(&delete), Some(&change(Effect::Disable, Stands::Pending, &[])));
        assert_eq!(told, ["pending on both, and different (delete here, disable there)"]);
    }
}
