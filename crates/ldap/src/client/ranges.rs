//! Fetches the values behind the first range of an attribute, range by range.

use std::fmt::Write;

use bytes::Bytes;

use super::connection::Client;
use crate::control::Control;
use crate::entry::Entry;
use crate::error::LdapError;
use crate::message::SearchRequest;
use crate::range::{RangeOption, Ranged, ranged_values};

const OPERATION: &str = "range retrieval";

/// Fetches one attribute of one entry from a given value on.
///
/// The entry is addressed by its GUID: its name may change in between, and an extended name is no base.
#[derive(Debug, Clone)]
pub struct RangeFetch {
    base: String,
    attribute: String,
    next: u32,
    complete: bool,
    stopped: bool,
    controls: Vec<Control>,
}

impl RangeFetch {
    /// Begins at value number `next` of `attribute` of the entry with this `objectGUID`.
    pub fn new(object_guid: &[u8; 16], attribute: &str, next: u32) -> Self {
        let mut base = "<GUID=".to_owned();
        for octet in object_guid {
            // writing to a String cannot fail
            let _ = write!(base, "{octet:02x}");
        }
        base.push('>');
        Self {
            base,
            attribute: attribute.to_owned(),
            next,
            complete: false,
            stopped: false,
            controls: Vec::new(),
        }
    }

    /// Adds a control to every request, such as the one for extended names.
    #[must_use]
    pub fn control(mut self, control: Control) -> Self {
        self.controls.push(control);
        self
    }

    /// Says whether the last value was seen. While this is false, values may be missing.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Gives the number of the first value not fetched yet.
    pub const fn next_start(&self) -> u32 {
        self.next
    }

    /// Fetches the next values; `None` when there are no more or none can be got: then
    /// [`RangeFetch::is_complete`] says which of the two.
    ///
    /// # Errors
    /// When the search fails, or when the server answers with another range than asked for.
    pub async fn next(&mut self, client: &mut Client) -> Result<Option<Vec<Bytes>>, LdapError> {
        if self.complete || self.stopped {
            return Ok(None);
        }
        let wanted = format!("{};range={}-*", self.attribute, self.next);
        let mut request = SearchRequest::entry(self.base.clone()).attributes([wanted]);
        request.controls.clone_from(&self.controls);
        let Some(entry) = client.search_one(request).await? else {
            self.stopped = true;
            return Ok(None);
        };
        self.take(client, &entry)
    }

    fn take(&mut self, client: &mut Client, entry: &Entry) -> Result<Option<Vec<Bytes>>, LdapError> {
        let ranges = entry.attributes().filter_map(|found| {
            let (name, range) = RangeOption::parse(found.name());
            range.filter(|_| name.eq_ignore_ascii_case(&self.attribute)).map(|range| (range, found))
        });
        let mut wrong = None;
        for (range, found) in ranges {
            if range.start != self.next {
                wrong = Some(range.start);
                continue;
            }
            let values: Vec<Bytes> = found.values().collect();
            let got = u32::try_from(values.len()).unwrap_or(u32::MAX);
            self.complete = range.end.is_none();
            self.next = self.next.saturating_add(got);
            // a range without values would be asked for again for ever
            self.stopped = got == 0;
            let announced = range.end.map(|end| end.saturating_add(1));
            if announced.is_some_and(|announced| announced != self.next) {
                self.stopped = true;
            }
            return Ok((got > 0).then_some(values));
        }
        if let Some(start) = wrong {
            let detail = format!("it sent the range from {start} on instead of {}", self.next);
            return Err(client.protocol_error(OPERATION, detail));
        }
        // asked from the first value on, a server without ranges gives the attribute whole
        match ranged_values(entry, &self.attribute) {
            Ranged::Complete(values) if self.next == 0 && !values.is_empty() => {
                self.complete = true;
                return Ok(Some(values));
            }
            _ => {}
        }
        self.stopped = true;
        Ok(None)
    }
}
