//! Fills pages: entry after entry goes in, pages of the asked-for size come out.
//!
//! The one place that knows what a page may weigh, where a page may be resumed, and how the links of one large
//! object are spread over several pages. It neither sends nor waits, so that connectors on threads and connectors
//! on tasks share it.

use std::collections::VecDeque;

use onesync_model::Bag;

use crate::{
    Anchor, ConnectorError, Entry, EntryChange, EntryFlags, ImportPage, LinkChunk, LinkMode, Watermark,
};

/// Link values in one chunk: some hundred kilobytes of names, little enough to be copied and held a few times.
pub const LINK_CHUNK_MAX: usize = 5_000;

/// What an entry weighs, in tenths: a link value weighs one.
const ENTRY_TENTHS: usize = 10;

/// Fills pages.
#[derive(Debug)]
pub struct Pager {
    tenths_max: usize,
    tenths: usize,
    page: ImportPage,
    ready: VecDeque<ImportPage>,
}

impl Pager {
    /// Makes pages of at most `page_size` entries, link values counting as a tenth of one.
    #[must_use]
    pub fn new(page_size: usize) -> Self {
        Self {
            tenths_max: page_size.max(1).saturating_mul(ENTRY_TENTHS),
            tenths: 0,
            page: ImportPage::default(),
            ready: VecDeque::new(),
        }
    }

    /// The most link values that one entry of a page can carry.
    #[must_use]
    pub fn links_max(&self) -> usize {
        self.tenths_max.saturating_sub(ENTRY_TENTHS).clamp(1, LINK_CHUNK_MAX)
    }

    /// Adds an entry. `after` is the point from which the import can go on behind it, `None` where there is none
    /// (inside one object). Entries with more links than a page can hold are split.
    pub fn push(&mut self, mut entry: Entry, after: Option<Watermark>) {
        let links_max = self.links_max();
        let mut rest = split_links(&mut entry.links, links_max);
        let (anchor, object_type) = (entry.anchor.clone(), entry.object_type);
        self.place(entry, if rest.is_empty() { after.clone() } else { None });
        while !rest.is_empty() {
            let mut links = std::mem::take(&mut rest);
            rest = split_links(&mut links, links_max);
            let mut more = more_links(anchor.clone(), links);
            more.object_type = object_type;
            self.place(more, if rest.is_empty() { after.clone() } else { None });
        }
    }

    /// Adds the error of an entry that could not be read.
    pub fn error(&mut self, error: ConnectorError, after: Option<Watermark>) {
        self.make_room(ENTRY_TENTHS);
        self.page.errors.push(error);
        self.page.resume = after;
    }

    /// Ends the page: behind everything so far the import can go on from `after`.
    pub fn end_page(&mut self, after: Watermark) {
        self.page.resume = Some(after);
        self.close();
    }

    /// Takes a page that is full.
    pub fn take_full(&mut self) -> Option<ImportPage> {
        self.ready.pop_front()
    }

    /// Takes what is left, after [`Pager::take_full`] gave nothing more.
    #[must_use]
    pub fn take_rest(&mut self) -> Option<ImportPage> {
        self.close();
        self.ready.pop_front()
    }

    fn place(&mut self, entry: Entry, after: Option<Watermark>) {
        self.make_room(ENTRY_TENTHS + link_count(&entry.links));
        self.page.entries.push(entry);
        self.page.resume = after;
    }

    fn make_room(&mut self, tenths: usize) {
        if self.tenths > 0 && self.tenths + tenths > self.tenths_max {
            self.close();
        }
        self.tenths += tenths;
    }

    fn close(&mut self) {
        if self.tenths > 0 {
            self.ready.push_back(std::mem::take(&mut self.page));
            self.tenths = 0;
        }
    }
}

/// An entry that only carries more links of the object before it.
#[must_use]
pub fn more_links(anchor: Anchor, links: Vec<LinkChunk>) -> Entry {
    Entry {
        anchor,
        dn: None,
        object_type: None,
        change: EntryChange::MoreLinks,
        values: Bag::new(),
        cleared: Vec::new(),
        unknown: Vec::new(),
        links,
        flags: EntryFlags::default(),
    }
}

/// An entry of a container.
#[must_use]
pub fn container(anchor: Anchor, dn: &str) -> Entry {
    Entry { dn: Some(dn.to_owned()), change: EntryChange::Container, ..more_links(anchor, Vec::new()) }
}

fn link_count(links: &[LinkChunk]) -> usize {
    links.iter().map(|chunk| chunk.targets.len()).sum()
}

/// Leaves at most `max` link values in `links` and gives the rest.
fn split_links(links: &mut Vec<LinkChunk>, max: usize) -> Vec<LinkChunk> {
    let mut room = max;
    for index in 0..links.len() {
        let chunk = &mut links[index];
        if chunk.targets.len() <= room {
            room -= chunk.targets.len();
            continue;
        }
        // Chunks without values stay where they are: they cost nothing.
        let tail = chunk.targets.split_off(room);
        let mut rest = links.split_off(index + 1);
        let chunk = &mut links[index];
        let (head_mode, tail_mode) = match chunk.mode {
            LinkMode::Replace { first, last } => {
                (LinkMode::Replace { first, last: false }, LinkMode::Replace { first: false, last })
            }
            same => (same, same),
        };
        let attribute = chunk.attribute;
        if room == 0 {
            // Nothing of this chunk fits: it begins whole with the next entry.
            let mode = chunk.mode;
            links.truncate(index);
            rest.insert(0, LinkChunk { attribute, mode, targets: tail });
        } else {
            chunk.mode = head_mode;
            rest.insert(0, LinkChunk { attribute, mode: tail_mode, targets: tail });
        }
        return rest;
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use onesync_model::{AttrId, TypeId};

    use super::*;
    use crate::LinkTarget;

    fn entry(name: &str, links: usize) -> Entry {
        Entry {
            object_type: Some(TypeId(1)),
            dn: Some(name.to_owned()),
            change: EntryChange::Full,
            ..more_links(
                Anchor::text(name),
                vec![LinkChunk {
                    attribute: AttrId(7),
                    mode: LinkMode::Replace { first: true, last: true },
                    targets: (0..links).map(|n| LinkTarget::Dn(format!("CN={n}"))).collect(),
                }],
            )
        }
    }

    fn pages(pager: &mut Pager) -> Vec<ImportPage> {
        let mut pages: Vec<_> = std::iter::from_fn(|| pager.take_full()).collect();
        pages.extend(pager.take_rest());
        pages
    }

    #[test]
    fn pages_are_as_large_as_asked_and_resume_between_objects() {
        let mut pager = Pager::new(2);
        for name in ["a", "b", "c"] {
            pager.push(entry(name, 0), Some(Watermark(name.into())));
        }
        let pages = pages(&mut pager);
        assert_eq!(pages.iter().map(|page| page.entries.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(pages[0].resume, Some(Watermark(b"b".to_vec())));
        assert_eq!(pages[1].resume, Some(Watermark(b"c".to_vec())));
    }

    #[test]
    fn a_large_object_is_spread_and_its_parts_name_first_and_last_once() {
        let mut pager = Pager::new(3);
        pager.push(entry("group", 50), Some(Watermark(vec![1])));
        let pages = pages(&mut pager);
        assert_eq!(pages.len(), 3);
        assert_eq!(pages[0].resume, None);
        assert_eq!(pages[2].resume, Some(Watermark(vec![1])));
        let chunks: Vec<_> = pages.iter().flat_map(|p| &p.entries).flat_map(|e| &e.links).collect();
        assert_eq!(chunks.iter().map(|chunk| chunk.targets.len()).sum::<usize>(), 50);
        let modes: Vec<_> = chunks.iter().map(|chunk| chunk.mode).collect();
        assert_eq!(modes[0], LinkMode::Replace { first: true, last: false });
        assert_eq!(modes[1], LinkMode::Replace { first: false, last: false });
        assert_eq!(modes[2], LinkMode::Replace { first: false, last: true });
        assert_eq!(pages[1].entries[0].change, EntryChange::MoreLinks);
    }

    #[test]
    fn a_second_attribute_that_does_not_fit_begins_whole_in_the_next_entry() {
        let mut pager = Pager::new(2);
        let mut both = entry("group", 10);
        both.links.push(LinkChunk { attribute: AttrId(8), ..both.links[0].clone() });
        pager.push(both, None);
        let pages = pages(&mut pager);
        assert_eq!(pages.len(), 2);
        assert_eq!(pages[0].entries[0].links.len(), 1);
        assert_eq!(pages[1].entries[0].links[0].attribute, AttrId(8));
        assert_eq!(pages[1].entries[0].links[0].mode, LinkMode::Replace { first: true, last: true });
    }

    #[test]
    fn a_page_can_be_ended_where_the_import_may_go_on() {
        let mut pager = Pager::new(10);
        pager.push(entry("a", 0), None);
        pager.end_page(Watermark(vec![1]));
        pager.end_page(Watermark(vec![2]));
        pager.push(entry("b", 0), None);
        let resumes: Vec<_> = pages(&mut pager).into_iter().map(|page| page.resume).collect();
        assert_eq!(resumes, [Some(Watermark(vec![1])), None]);
    }

    #[test]
    fn even_the_smallest_page_makes_progress() {
        let mut pager = Pager::new(0);
        pager.push(entry("group", 3), None);
        pager.error(ConnectorError::stopped(), None);
        let pages = pages(&mut pager);
        assert_eq!(pages.iter().map(|page| page.entries.len()).sum::<usize>(), 3);
        assert_eq!(pages.last().map(|page| page.errors.len()), Some(1));
    }
}
