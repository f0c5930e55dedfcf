//! Content synchronisation (RFC 4533): the controls of a sync search and the Sync Info message.

use bytes::Bytes;

use crate::ber::{
    BOOLEAN, CodecError, OCTETS, Reader, SEQUENCE, SET, Writer, boolean, context, context_constructed,
};
use crate::control::{Control, SYNC_DONE, SYNC_REQUEST, SYNC_STATE, TypedControl};

/// Name of the intermediate response that carries a [`SyncInfo`].
pub const SYNC_INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";

/// How a sync search ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// It ends when the content was sent.
    RefreshOnly,
    /// It stays and sends changes as they happen.
    RefreshAndPersist,
}

/// Asks for the content, or for what changed since a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// How the search ends.
    pub mode: SyncMode,
    /// The mark of an earlier search.
    pub cookie: Option<Bytes>,
    /// Whether a full reload is better than an error.
    pub reload_hint: bool,
}

impl TypedControl for SyncRequest {
    const OID: &'static str = SYNC_REQUEST;

    fn to_control(&self) -> Control {
        value(Self::OID, true, |w| {
            w.enumerated(if self.mode == SyncMode::RefreshOnly { 1 } else { 3 });
            self.cookie.iter().for_each(|cookie| w.octets(cookie));
            if self.reload_hint {
                w.boolean(true);
            }
        })
    }

    fn from_value(value: &Bytes) -> Result<Self, CodecError> {
        let mut inside = Reader::new(value).enter(SEQUENCE)?;
        let mode = match inside.enumerated("the mode of a sync")? {
            1 => SyncMode::RefreshOnly,
            3 => SyncMode::RefreshAndPersist,
            _ => return Err(CodecError::Undefined("the mode of a sync")),
        };
        let cookie = inside.optional(OCTETS)?.map(|cookie| value.slice_ref(cookie));
        Ok(Self { mode, cookie, reload_hint: inside.boolean_or(false)? })
    }
}

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// It is unchanged.
    Present,
    /// It is new, or was not in the content before.
    Add,
    /// It has changed.
    Modify,
    /// It is gone, or has left the content.
    Delete,
}

/// Comes with an entry of a sync search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncState {
    /// What happened.
    pub state: EntryState,
    /// The `entryUUID`.
    pub uuid: [u8; 16],
    /// A new mark.
    pub cookie: Option<Bytes>,
}

impl TypedControl for SyncState {
    const OID: &'static str = SYNC_STATE;

    fn to_control(&self) -> Control {
        value(Self::OID, false, |w| {
            w.enumerated(match self.state {
                EntryState::Present => 0,
                EntryState::Add => 1,
                EntryState::Modify => 2,
                EntryState::Delete => 3,
            });
            w.octets(&self.uuid);
            self.cookie.iter().for_each(|cookie| w.octets(cookie));
        })
    }

    fn from_value(value: &Bytes) -> Result<Self, CodecError> {
        let mut inside = Reader::new(value).enter(SEQUENCE)?;
        let state = match inside.enumerated("the state of an entry")? {
            0 => EntryState::Present,
            1 => EntryState::Add,
            2 => EntryState::Modify,
            3 => EntryState::Delete,
            _ => return Err(CodecError::Undefined("the state of an entry")),
        };
        let uuid = uuid(inside.octets()?)?;
        let cookie = inside.optional(OCTETS)?.map(|cookie| value.slice_ref(cookie));
        Ok(Self { state, uuid, cookie })
    }
}

/// Comes with the end of a sync search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncDone {
    /// A new mark.
    pub cookie: Option<Bytes>,
    /// Whether deletions were sent one by one; if not, what was not named is gone.
    pub refresh_deletes: bool,
}

impl TypedControl for SyncDone {
    const OID: &'static str = SYNC_DONE;

    fn to_control(&self) -> Control {
        value(Self::OID, false, |w| {
            self.cookie.iter().for_each(|cookie| w.octets(cookie));
            if self.refresh_deletes {
                w.boolean(true);
            }
        })
    }

    fn from_value(value: &Bytes) -> Result<Self, CodecError> {
        let mut inside = Reader::new(value).enter(SEQUENCE)?;
        let cookie = inside.optional(OCTETS)?.map(|cookie| value.slice_ref(cookie));
        Ok(Self { cookie, refresh_deletes: inside.boolean_or(false)? })
    }
}

/// The value of an intermediate response named [`SYNC_INFO`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncInfo {
    /// A new mark.
    NewCookie(Bytes),
    /// A phase ends: entries that are gone were named.
    RefreshDelete {
        /// A new mark.
        cookie: Option<Bytes>,
        /// Whether the refresh is over.
        done: bool,
    },
    /// A phase ends: entries that are there were named.
    RefreshPresent {
        /// A new mark.
        cookie: Option<Bytes>,
        /// Whether the refresh is over.
        done: bool,
    },
    /// Many entries at once.
    IdSet {
        /// A new mark.
        cookie: Option<Bytes>,
        /// Whether these are gone (else: there).
        deletes: bool,
        /// Their `entryUUID`s.
        uuids: Vec<[u8; 16]>,
    },
}

impl SyncInfo {
    /// Writes the value.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        match self {
            Self::NewCookie(cookie) => writer.primitive(context(0), cookie),
            Self::RefreshDelete { cookie, done } => phase(&mut writer, 1, cookie.as_ref(), *done),
            Self::RefreshPresent { cookie, done } => phase(&mut writer, 2, cookie.as_ref(), *done),
            Self::IdSet { cookie, deletes, uuids } => writer.constructed(context_constructed(3), |w| {
                cookie.iter().for_each(|cookie| w.octets(cookie));
                if *deletes {
                    w.boolean(true);
                }
                w.constructed(SET, |w| uuids.iter().for_each(|uuid| w.octets(uuid)));
            }),
        }
        writer.into_bytes().into()
    }

    /// Reads the value.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn decode(value: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(value);
        let (tag, content) = reader.element()?;
        if tag == context(0) {
            return Ok(Self::NewCookie(value.slice_ref(content)));
        }
        let mut inside = reader.inside(content)?;
        let cookie = inside.optional(OCTETS)?.map(|cookie| value.slice_ref(cookie));
        let flag = inside.optional(BOOLEAN)?.map(boolean).transpose()?;
        match tag & 0x1f {
            1 if tag == context_constructed(1) => {
                Ok(Self::RefreshDelete { cookie, done: flag.unwrap_or(true) })
            }
            2 if tag == context_constructed(2) => {
                Ok(Self::RefreshPresent { cookie, done: flag.unwrap_or(true) })
            }
            3 if tag == context_constructed(3) => {
                let mut set = inside.enter(SET)?;
                let mut uuids = Vec::new();
                while !set.is_empty() {
                    uuids.push(uuid(set.octets()?)?);
                }
                Ok(Self::IdSet { cookie, deletes: flag.unwrap_or(false), uuids })
            }
            _ => Err(CodecError::Undefined("a sync info message")),
        }
    }
}

fn phase(writer: &mut Writer, number: u8, cookie: Option<&Bytes>, done: bool) {
    writer.constructed(context_constructed(number), |w| {
        cookie.iter().for_each(|cookie| w.octets(cookie));
        if !done {
            w.boolean(false); // true is the default here
        }
    });
}

fn value(oid: &str, critical: bool, write: impl FnOnce(&mut Writer)) -> Control {
    let mut writer = Writer::new();
    writer.constructed(SEQUENCE, write);
    Control { oid: oid.to_owned(), critical, value: Some(writer.into_bytes().into()) }
}

fn uuid(content: &[u8]) -> Result<[u8; 16], CodecError> {
    content.try_into().map_err(|_| CodecError::Undefined("an entryUUID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_round_trip() {
        let cookie = Some(Bytes::from_static(b"rid=000"));
        for reload_hint in [false, true] {
            let typed = SyncRequest { mode: SyncMode::RefreshOnly, cookie: cookie.clone(), reload_hint };
            assert_eq!(SyncRequest::find(&[typed.to_control()]), Ok(Some(typed)));
            let typed = SyncDone { cookie: None, refresh_deletes: reload_hint };
            assert_eq!(SyncDone::find(&[typed.to_control()]), Ok(Some(typed)));
        }
        for state in [EntryState::Present, EntryState::Add, EntryState::Modify, EntryState::Delete] {
            let typed = SyncState { state, uuid: [7; 16], cookie: cookie.clone() };
            assert_eq!(SyncState::find(&[typed.to_control()]), Ok(Some(typed)));
        }
    }

    #[test]
    fn info_round_trips() {
        let cookie = Some(Bytes::from_static(b"c"));
        for info in [
            SyncInfo::NewCookie(Bytes::from_static(b"c")),
            SyncInfo::RefreshDelete { cookie: cookie.clone(), done: false },
            SyncInfo::RefreshPresent { cookie: None, done: true },
            SyncInfo::IdSet { cookie, deletes: true, uuids: vec![[1; 16], [2; 16]] },
        ] {
            assert_eq!(SyncInfo::decode(&info.encode()), Ok(info));
        }
        assert!(SyncInfo::decode(&Bytes::from_static(&[0x04, 0])).is_err());
    }
}
