//! What an activation says, and what a server without keys says.

use onesync_store::StoreReader;
use onesync_vault::VaultError;

use super::{Activation, COMMAND};
use crate::copy::CopyOf;
use crate::error::ServiceError;
use crate::keys;
use crate::standing::{RESTART, Standing};

/// What a server says that has no key set: which one it needs, and where that may be.
///
/// `beside`: another server is the active one, and has the keys.
pub(crate) fn keys_missing(
    reader: &dyn StoreReader,
    error: &VaultError,
    beside: bool,
) -> Result<String, ServiceError> {
    let (needed, exports) = (keys::needed(reader)?, keys::exports(reader)?);
    if needed.is_empty() && exports.is_empty() {
        return Ok(error.to_string());
    }
    let ids: Vec<&str> = needed.iter().map(String::as_str).collect();
    let copy = CopyOf::of(reader)?;
    // The server that it was taken of has them, too.
    let beside = beside || copy.is_some();
    if let Some(CopyOf { keys_in: Some(backup), by_recipients, .. }) = copy {
        let (by, with) = match by_recipients {
            true => ("--identity FILE", "the identity of one of its recipients"),
            false => ("ACCOUNT PASSWORD", "the service account"),
        };
        return Ok(format!(
            "configuration settings cannot be read: this database is protected by key set {}, which is inside of the backup \
             that it was restored from. Run `onesync activate {backup} {by}` with that file and {with} ({error})",
            ids.join(", ")
        ));
    }
    let ids = ids.join(", ");
    let found = keys::exports_with(reader, &needed)?;
    if !beside && found.is_empty() {
        return Ok(format!(
            "configuration settings cannot be read: this database is protected by key set {ids}, and no exported key file holds it. \
             Bring `keyset.toml` back from a copy of this home; where there is none, and no backup with the keys inside, `onesync keys \
             abandon` gives up what it sealed ({error})"
        ));
    }
    let export = "`onesync keys export FILE` on the active server makes the file: run";
    let (exported, run) = match found.first() {
        Some(note) => (format!("exported at {}", note.exported), "Run"),
        None if exports.is_empty() => ("never exported".to_owned(), export),
        None => ("not in any export that the database knows".to_owned(), export),
    };
    Ok(format!(
        "configuration settings cannot be read: this database is protected by key set {ids}, {exported}. {run} `{COMMAND}` \
         with that file and the service account ({error})"
    ))
}

/// What becomes of the place of the active server when nobody serves there, and another one stands by.
#[must_use]
pub fn takes_it_back(name: &str) -> String {
    format!(
        "`{name}` stands by automatically: it takes this place in {} minutes unless `onesync serve` runs here; `onesync standby off` \
         there keeps it from that",
        RESTART.as_secs() / 60
    )
}

impl Activation {
    /// What an operator must know before it happens.
    #[must_use]
    pub fn warning(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(copy) = &self.copy {
            lines.push(format!(
                "this database is a copy: a backup of installation {} (epoch {}) taken at {}, restored at {}. This database alone \
                 cannot stop the server it was taken of, if that still runs with its own",
                copy.installation, copy.epoch, copy.taken, copy.restored
            ));
            let (kept, not): (Vec<String>, Vec<String>) = self.targets();
            if !kept.is_empty() {
                lines.push(format!(
                    "activating gives this one a new installation id, and takes the marker of `{}` for it: that server's next \
                     batch is refused there",
                    kept.join("`, `")
                ));
            }
            if !not.is_empty() {
                lines.push(format!(
                    "`{}` keeps no marker, and refuses nobody: make sure that the old server never writes there again",
                    not.join("`, `")
                ));
            }
        } else if let Some(active) = &self.active {
            lines.push(format!(
                "activating this server takes the place of {}, the active server of this database. From then on that server \
                 writes nothing into it, stops exporting, and says that it was replaced",
                active.words()
            ));
        } else if matches!(self.service.standing(), Standing::Behind { .. }) {
            lines.push(
                "the database knows less than this server: activating goes on with it as it is".to_owned(),
            );
        }
        if self.again && self.is_active() {
            lines.push(
                "this server is the active one already: it takes the next epoch, and the markers of the targets for it, whoever \
                 they name"
                    .to_owned(),
            );
        }
        if lines.is_empty() && !self.is_active() {
            lines.push("activating makes this server the active one of this database".to_owned());
        }
        // What cannot be known now is said by whoever has activated.
        let standbys = self.service.who_would_take_over().unwrap_or_default();
        lines.extend(standbys.iter().filter(|_| self.copy.is_none()).map(|name| takes_it_back(name)));
        if !lines.is_empty() {
            lines.push(
                "what was read and planned so far counts no more: every connector is read as a whole before anything is exported, \
                 and the scheduler is off"
                    .to_owned(),
            );
        }
        lines
    }

    /// Connectors that are written: those whose directory keeps a marker, and the others.
    pub(super) fn targets(&self) -> (Vec<String>, Vec<String>) {
        let Ok(runtime) = self.service.runtime() else { return (Vec::new(), Vec::new()) };
        let written = runtime.connectors.iter().filter(|connector| connector.capabilities.export);
        let (kept, not): (Vec<_>, Vec<_>) = written.partition(|connector| connector.capabilities.marker);
        let names =
            |of: Vec<&crate::runtime::ConnectorHandle>| of.iter().map(|c| c.name().to_owned()).collect();
        (names(kept), names(not))
    }
}
