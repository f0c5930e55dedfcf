//! The steps of an activation, each of which may be repeated.

use std::path::Path;

use onesync_store::ServiceChanges;
use onesync_vault::{Kek, KeyFile, KeySet, Vault, VaultError};

use super::credentials::old_credentials;
use super::note::Note;
use super::{Activated, Activation};
use crate::copy::{COPY_OF, CopyOf, FORMER, former_ids};
use crate::error::ServiceError;
use crate::events::{ACTIVATED, MARKER_TAKEN};
use crate::home::new_id;
use crate::keys::{LOCK, aside};
use crate::runtime::Service;
use crate::scheduler::SWITCH;
use crate::standing::Standing;
use crate::verified::distrusted;
use crate::work::WorkLock;

/// The setting with the epoch whose activation was told last.
const TOLD: &str = "activation-told";

impl Activation {
    /// Carries it out; `tell` hears what is done.
    ///
    /// # Errors
    /// When a step fails: run it again, it goes on from there.
    pub async fn carry_out(self, tell: &dyn Fn(&str)) -> Result<Activated, ServiceError> {
        let Self { service, clock, threads, key_file, copy, note, again, kek, lock: _lock, .. } = self;
        let kek = kek.unwrap_or_default();
        let home = service.home().clone();
        let found = service.store().lease()?.epoch;
        let was_active = matches!(service.standing(), Standing::Active { .. });
        let renamed = |note: &Note| note.installation.as_deref() == Some(service.installation_id());
        // A copy goes on under another id, which it has for good once it was given, by whichever server.
        let unnamed = copy.as_ref().is_some_and(|copy| service.installation_id() == copy.installation);
        // One that was begun before goes on with the epoch that it took.
        let taken = was_active && note.as_ref().is_some_and(|note| found > note.epoch_before);
        let wants = !was_active || unnamed || (again && !taken);
        let note = match note {
            // One that was begun before this copy was restored gives no id.
            Some(note) if !unnamed || note.installation.is_some() => note,
            _ => Note { installation: if unnamed { Some(new_id()?) } else { None }, epoch_before: found },
        };
        let takes = match &note.installation {
            Some(_) => !renamed(&note),
            None => wants,
        };
        let begun = takes || found > note.epoch_before;
        // Before the note: while that is there nothing works here, and keys that do not fit are no reason for it.
        if let Some(kek) = install(&service, &key_file, &kek)? {
            tell(&format!("the key set is in the home, sealed under the key-encryption key from {kek}"));
        }
        if begun {
            note.write(&home)?;
        }
        if takes {
            let epoch = service.take_over(note.installation.as_deref())?;
            tell(&format!(
                "epoch {epoch} is taken: what another server writes into this database is refused from now on"
            ));
        }
        drop(service);
        let service = Service::open(home.clone(), clock, threads).await?;
        service.standing().must_be_active()?;
        if begun {
            service.forget_what_was_known(copy.is_some())?;
            tell(
                "watermarks and what was being sent are forgotten: every connector owes a full import; the scheduler is off",
            );
            Note::remove(&home)?;
        }
        let mut done = Activated {
            installation: service.installation_id().to_owned(),
            epoch: service.epoch(),
            was_active: was_active && !begun && copy.is_none(),
            markers: Vec::new(),
            strangers: Vec::new(),
            without_marker: Vec::new(),
            later: Vec::new(),
            credentials: Vec::new(),
            standbys: service.who_would_take_over()?,
        };
        if done.was_active {
            return Ok(done);
        }
        let configured = service.is_configured();
        if configured {
            service.take_markers(copy.as_ref(), again, &mut done, tell).await?;
        }
        if let Some(copy) = &copy {
            service.end_copy(copy)?;
            if configured {
                done.credentials = old_credentials(&*service.runtime()?);
            }
        }
        Ok(done)
    }
}

impl Activation {
    /// Brings the key set into the home of a server that stands by, and nothing else: nobody's place is taken.
    ///
    /// # Errors
    /// When this server is the active one, or is to be: a copy has no active server beside it.
    pub fn bring_keys(self) -> Result<(), ServiceError> {
        if self.copy.is_some() || matches!(self.service.standing(), Standing::Active { .. }) {
            return Err(ServiceError::usage(
                "this server does not stand by: no other one is active on its database",
                "leave `--stand-by` out",
            ));
        }
        install(&self.service, &self.key_file, &self.kek.unwrap_or_default()).map(drop)
    }
}

/// Puts the key set into the home, unless the one that is there holds these keys; gives the key-encryption key that it lies
/// under then. One of the same installation, as it was before rotations elsewhere, is replaced, and sealed as it was; it is kept
/// beside where it has keys that were forgotten there since.
fn install(service: &Service, key_file: &KeyFile, kek: &Kek) -> Result<Option<Kek>, ServiceError> {
    let (home, file) = (service.home(), service.home().key_set());
    let there = file.exists();
    home.make_folder()?;
    // Whoever rotates the keys here writes it, too.
    let _lock = WorkLock::take_file(home.folder(), LOCK, "activate", service.now())?;
    match Vault::install(&file, key_file, kek) {
        Ok(_) => Ok((!there).then(|| kek.clone())),
        Err(VaultError::Exists { .. }) => match KeySet::open(&file) {
            // The file opens all that is sealed: that was looked at first.
            Ok(older) if key_file.keys.shares_with(&older) => {
                let kek = KeySet::source(&file)?.map(|(kek, _)| kek).unwrap_or_default();
                if !key_file.keys.holds(&older) {
                    aside(&file, service.now().seconds())?;
                }
                key_file.keys.save(&file, &kek)?;
                Ok(Some(kek))
            }
            Ok(_) => Err(in_the_way(&file, "has keys that are not in this file")),
            Err(error) => Err(in_the_way(&file, &format!("cannot be used: {error}"))),
        },
        Err(error) => Err(error.into()),
    }
}

impl Service {
    /// What a server does first that took the epoch: it trusts nothing that was read or planned, and lets nothing begin by
    /// itself. Of a database that is no copy, that is all there is to be done before it works.
    fn forget_what_was_known(&self, copy: bool) -> Result<(), ServiceError> {
        let changes = distrusted(&*self.store().reader()?)?;
        let mut settings = vec![(SWITCH.to_owned(), "off".to_owned())];
        let mut events = Vec::new();
        let epoch = self.epoch().to_string();
        // Whoever was killed between this and the end of the note comes here again: it is told once.
        if !copy && self.store().reader()?.setting(TOLD)?.as_ref() != Some(&epoch) {
            settings.push((TOLD.to_owned(), epoch));
            events.push(self.activated());
        }
        self.write(&changes, &ServiceChanges { settings, events, ..ServiceChanges::default() })
    }

    fn activated(&self) -> onesync_store::EventRow {
        self.audit(&ACTIVATED, self.installation_id(), &format!("epoch {}", self.epoch()))
    }

    /// Takes the markers of all targets. Of a copy all must be taken before anything is exported; the server before is
    /// refused by nothing else. From an installation that has nothing to do with this one it is taken on a copy only, or `again`.
    async fn take_markers(
        &self,
        copy: Option<&CopyOf>,
        again: bool,
        done: &mut Activated,
        tell: &dyn Fn(&str),
    ) -> Result<(), ServiceError> {
        // What the home knows of markers has one writer.
        let lock = WorkLock::take(self.home().folder(), "activate", self.now());
        let (_lock, runtime) = match lock.and_then(|lock| Ok((lock, self.runtime()?))) {
            Err(error) if copy.is_none() => {
                done.later.push(error.to_string());
                return Ok(());
            }
            ready => ready?,
        };
        let mut ours = self.own_ids()?;
        ours.extend(copy.map(|copy| copy.installation.clone()));
        for connector in runtime.connectors.iter().filter(|connector| connector.capabilities.export) {
            let name = connector.name();
            if !connector.capabilities.marker {
                done.without_marker.push(name.to_owned());
                continue;
            }
            let before = match &connector.unreachable {
                Some(away) => Err(ServiceError::connector(name, away.error.clone())),
                None => self.stranger(connector, &ours).await,
            };
            let taken = match before {
                Ok(Some(stranger)) if copy.is_none() && !again => {
                    done.strangers.push(format!("`{name}` belongs to {stranger}"));
                    continue;
                }
                Ok(before) => self.take_marker(connector).await.map(|()| before),
                Err(error) => Err(error),
            };
            match taken {
                Ok(before) => {
                    self.note_event(&MARKER_TAKEN, name, before.as_deref().unwrap_or_default());
                    tell(&format!("the marker of `{name}` names this server"));
                    if let Some(before) = before {
                        tell(&format!("it named {before}, which is refused there from now on"));
                    }
                    done.markers.push(name.to_owned());
                }
                Err(error) if copy.is_some() => {
                    return Err(ServiceError::held(
                        format!(
                            "the marker of `{name}` could not be taken: {error}. Until then nothing is exported from here"
                        ),
                        "see that the directory answers, and run the same `onesync activate` again",
                    ));
                }
                Err(error) => done.later.push(format!("the marker of `{name}`: {error}")),
            }
        }
        Ok(())
    }

    /// From here on this is no copy any more. The ids before are kept: key files that were exported under them still fit.
    fn end_copy(&self, copy: &CopyOf) -> Result<(), ServiceError> {
        let mut former = former_ids(&*self.store().reader()?)?;
        if !former.contains(&copy.installation) {
            former.push(copy.installation.clone());
        }
        let former =
            serde_json::to_string(&former).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let off = (SWITCH.to_owned(), "off".to_owned());
        let settings = vec![(COPY_OF.to_owned(), String::new()), (FORMER.to_owned(), former), off];
        let events = vec![self.activated()];
        let service = ServiceChanges { staging: Some(false), settings, events, ..ServiceChanges::default() };
        // Until the markers were taken the server before may have written: what was read since it was begun counts no more.
        let changes = distrusted(&*self.store().reader()?)?;
        self.write(&changes, &service)
    }
}

/// A key set in the home in place of which none is put.
pub(super) fn in_the_way(file: &Path, why: &str) -> ServiceError {
    ServiceError::held(
        format!("{} is there, and {why}", file.display()),
        "move it away (it may be the only one that opens something else), and run it again",
    )
}
