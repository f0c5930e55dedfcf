//! Where the next delta import starts, and what must not have changed until then.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use onesync_ldap::control::DirSync;
use serde::{Deserialize, Serialize};

use super::server::RootDse;
use crate::{ConnectorError, ErrorClass, Watermark};

/// The format written by this program.
const VERSION: u32 = 1;

/// Days after which a watermark is not trusted: Active Directory forgets deleted objects after 60 days where nobody
/// has set it otherwise, and a full import finds them all the same.
const MARK_DAYS_MAX: i64 = 50;

const SECONDS_PER_DAY: i64 = 86_400;

/// Link changes one by one.
pub const DELTA_FLAGS: i32 = DirSync::INCREMENTAL_VALUES;

/// A `objectGUID`.
pub type Guid = [u8; 16];

/// The content of a watermark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    version: u32,
    cookie: String,
    /// The domain controller as the settings name it.
    pub server: String,
    /// Its replica of the directory, in hexadecimal digits: a restored or reinstalled one gets a new id.
    pub invocation: String,
    /// Its highest update sequence number: a lower one later means that it was set back.
    pub usn: u64,
    /// Whether the account has the right to replicate; without it DirSync shows what the account may read.
    pub replicates: bool,
    /// What was selected.
    pub selection: String,
    /// Containers as the settings name them.
    pub containers: BTreeMap<String, Remembered>,
    /// Objects whose links changed while they were read, in hexadecimal digits: the next delta reads them again.
    #[serde(default)]
    pub reread: Vec<String>,
    /// When the server made it, by its own clock.
    #[serde(default)]
    pub made: Option<i64>,
    /// Containers that an interrupted full import has read to their ends: this is where it goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
}

/// A container that was found once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its `objectGUID` in hexadecimal digits.
    pub guid: String,
    /// Its name when it was last seen.
    pub dn: String,
}

impl Mark {
    /// Makes a mark with what is known before the import; the rest is filled in at its end.
    #[must_use]
    pub fn new(cookie: &[u8], server: &str, invocation: Guid, usn: u64) -> Self {
        Self {
            version: VERSION,
            cookie: STANDARD.encode(cookie),
            server: server.to_owned(),
            invocation: hex(&invocation),
            usn,
            replicates: false,
            selection: String::new(),
            containers: BTreeMap::new(),
            reread: Vec::new(),
            made: None,
            done: Vec::new(),
        }
    }

    /// Says why a mark is of no use at this server and with this selection.
    ///
    /// # Errors
    /// When it was made by another replica of the directory, is too old, or the selection has changed since.
    pub fn check(
        &self,
        invocation: &Guid,
        root: &RootDse,
        address: &str,
        selection: &str,
    ) -> Result<(), ConnectorError> {
        if self.selection != selection {
            return Err(unusable("the selection of types, attributes or containers has changed".to_owned()));
        }
        if hex(invocation) != self.invocation {
            return Err(unusable(format!(
                "it was made by another domain controller or copy of it (`{}`), and now `{address}` answers",
                self.server
            )));
        }
        if root.usn < self.usn {
            return Err(unusable(format!(
                "`{address}` was set back to an earlier state: its update sequence number was {} and is {}",
                self.usn, root.usn
            )));
        }
        if self.is_old(root) {
            return Err(unusable(format!(
                "it is {} days old, and `{address}` may have forgotten what was deleted since",
                self.days(root)
            )));
        }
        Ok(())
    }

    /// Whether a server may have forgotten what was deleted since the mark was made.
    #[must_use]
    pub fn is_old(&self, root: &RootDse) -> bool {
        self.days(root) > MARK_DAYS_MAX
    }

    fn days(&self, root: &RootDse) -> i64 {
        match (self.made, root.now) {
            (Some(made), Some(now)) => now.saturating_sub(made) / SECONDS_PER_DAY,
            _ => 0,
        }
    }

    /// Reads a watermark.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(watermark: &Watermark) -> Result<Self, ConnectorError> {
        let mark: Self = serde_json::from_slice(&watermark.0)
            .map_err(|error| unusable(format!("it cannot be read ({error})")))?;
        if mark.version == VERSION {
            Ok(mark)
        } else {
            Err(unusable(format!("it has format version {}, this program writes {VERSION}", mark.version)))
        }
    }

    /// The flags for DirSync: with the right to replicate it shows everything, without it what the account may read.
    #[must_use]
    pub const fn flags(&self) -> i32 {
        if self.replicates { DELTA_FLAGS } else { DELTA_FLAGS | DirSync::OBJECT_SECURITY }
    }

    /// Gives the watermark.
    #[must_use]
    pub fn write(&self) -> Watermark {
        // a struct of texts and numbers can always be written
        Watermark(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether a delta import can go on from it.
    #[must_use]
    pub const fn has_cookie(&self) -> bool {
        !self.cookie.is_empty()
    }

    /// The DirSync cookie.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn cookie(&self) -> Result<Vec<u8>, ConnectorError> {
        STANDARD.decode(&self.cookie).map_err(|_| unusable("its cookie is damaged".to_owned()))
    }
}

/// The error of a watermark that is of no use.
#[must_use]
pub fn unusable(why: String) -> ConnectorError {
    ConnectorError::new(
        ErrorClass::Watermark,
        "AD-WATERMARK",
        "delta import",
        format!("the watermark is of no use: {why}"),
    )
    .hint("a full import finds out what changed")
}

/// Writes bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads a GUID of 32 hexadecimal digits, in the order of its bytes.
#[must_use]
pub fn unhex(text: &[u8]) -> Option<Guid> {
    if text.len() != 32 {
        return None;
    }
    let mut guid = [0; 16];
    for (byte, digits) in guid.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| digits.get(at).and_then(|&d| char::from(d).to_digit(16));
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(guid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_and_a_foreign_one_asks_for_a_full_import() {
        let mut mark = Mark::new(b"MSDS", "dc1.contoso.test", [0xab; 16], 7);
        mark.containers.insert("OU=a".to_owned(), Remembered { guid: hex(&[1; 16]), dn: "OU=a".to_owned() });
        assert_eq!(Mark::read(&mark.write()).unwrap(), mark);
        assert_eq!(mark.cookie().unwrap(), b"MSDS");
        for bytes in [&b"{}"[..], b"nonsense", b""] {
            let error = Mark::read(&Watermark(bytes.to_vec())).unwrap_err();
            assert_eq!(error.class, ErrorClass::Watermark);
        }
        let newer = String::from_utf8(mark.write().0).unwrap().replace("\"version\":1", "\"version\":2");
        assert_eq!(Mark::read(&Watermark(newer.into_bytes())).unwrap_err().class, ErrorClass::Watermark);
    }

    #[test]
    fn a_mark_is_checked_against_server_and_selection() {
        let mut mark = Mark::new(b"MSDS", "dc1", [1; 16], 7);
        (mark.made, mark.selection) = (Some(1_000), "s".to_owned());
        let root =
            |usn, day: i64| RootDse { usn, now: Some(1_000 + day * SECONDS_PER_DAY), ..RootDse::default() };
        let why = |invocation: u8, root: RootDse, selection: &str| {
            mark.check(&[invocation; 16], &root, "dc1:636", selection).map_err(|error| error.message)
        };
        assert_eq!(why(1, root(7, 50), "s"), Ok(()));
        assert_eq!(why(1, RootDse { usn: 8, ..RootDse::default() }, "s"), Ok(()), "a server without a clock");
        for (outcome, part) in [
            (why(2, root(7, 0), "s"), "another domain controller"),
            (why(1, root(6, 0), "s"), "set back"),
            (why(1, root(7, 51), "s"), "51 days old"),
            (why(1, root(7, 0), "t"), "selection"),
        ] {
            assert!(outcome.unwrap_err().contains(part), "{part}");
        }
    }

    #[test]
    fn guids_as_digits() {
        assert_eq!(unhex(hex(&[0x0f; 16]).as_bytes()), Some([0x0f; 16]));
        assert_eq!(unhex(b"0g"), None);
    }
}
