//! The marker at a target: which server of which installation has it, and how a copy of that server is told from it.
//!
//! Installation and epoch are the same in a copied machine and in an old snapshot of one. So whoever takes the marker writes
//! something that nobody else can know, the *taking*, and with each export that has something to write a *session*. The
//! home remembers both, and notes each before the target gets it: killed in between, what is there is ours either way. A
//! marker of our installation and epoch that this home did not write was written by a copy: nothing is exported.
//!
//! * **When it is taken.** Once after each start of the machine, and by each home: then this server may be the copy, and
//!   another one may believe what it read, for [`MARKER_FRESH`]. So it is waited for twice as long and read again, as when
//!   it is taken from another server, or where there is none: of several that do so at once the last one has it, and
//!   the others see that before their first request. What was waited for is noted with the start of the machine
//!   and the folder of the home (its device and number): a process there follows one that has ended, because they have
//!   a lock between them, and nobody else ever held this taking. It need not wait again.
//! * **Why there are sessions, without waiting.** A copy that was made before the last export knows another session than
//!   is there, and is refused at once. If nothing was exported since, it knows all; it takes the marker, and whoever was
//!   copied finds that. Whoever takes it and whoever begins a session at the same time cannot both go on: the one with the
//!   session reads the marker after that and before each request ([`crate::permit`]), and is refused within the time
//!   for which the other one waits.
//!   An export ends with a new session, too, for a copy that was made in the middle of it.
//! * **Why there are two texts with numbers.** No target changes its marker on a condition. A server that was stopped
//!   between reading the marker and writing one writes it late, when another server may have the marker; it would take it
//!   back. So a taking and a session are written apart, each with a number one higher than whatever was read, and the
//!   higher one counts, the taking where both are the same. Whoever takes the marker writes both before its first request,
//!   the session with the higher number: a late session is lower or as high as the taking, a late taking is lower than the
//!   session. Neither takes anything back.
//!
//!   Two things are left: a taking as high as a session that was begun meanwhile, and a session after that one. Both know how
//!   long it took from what was read to what was written (a request may have waited to be repeated). Was it longer than
//!   [`MARKER_FRESH`], and is the other one there, the marker is given back.
//! * **What the target says may be old**, for as long as its replicas need. So the home knows many of its sessions and takings:
//!   an earlier one of them is an old answer, and no copy.
//! * **A marker that was removed** had numbers, and whoever was stopped then may write a part of it late. So where there is none
//!   they begin with the seconds of the clock, and above those that this home knows.
//!
//! What remains: of a machine that was copied while it runs, its memory included, both have what was waited for, and are told
//! apart by their sessions alone; and two servers that are both stopped, each just before it writes its part of the marker.

mod known;

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use onesync_connectors::{ConnectorError, ErrorClass, Marker};
use onesync_engine::Changes;

use known::{Known, note};

use crate::error::ServiceError;
use crate::events::{MARKER_GONE, MARKER_REFUSED, SERVER_COPIED};
use crate::permit::MARKER_FRESH;
use crate::runtime::{ConnectorHandle, Service};

pub(crate) use known::{FILE, forget};

/// Why a target refuses this server, as long as it does.
const REFUSED_BY: &str = "marker-refused";
/// Looks at a marker that still shows what was there before.
const LOOKS_MAX: usize = 5;
/// Bytes of a taking and of a session: nobody guesses them, and both fit into a name.
const BYTES: usize = 8;

/// What to do about a marker of somebody else.
const NOT_OURS_HINT: &str = "one server of one installation writes to a tenant. To go on with this one, stop the other for \
     good and run `onesync activate KEYFILE ACCOUNT PASSWORD --again` (docs/activate.md)";
/// The same where it may be our own, from after what this home knows.
const COPIED_HINT: &str = "when the files of this home were brought back from a backup, there is no other one: run `onesync \
     activate KEYFILE ACCOUNT PASSWORD --again` here (docs/activate.md). Else one server of one installation writes to a tenant: to go on with this one, \
     stop the other for good and run the same";

pub(crate) fn hint(there: Option<&Marker>, ours: &Marker) -> &'static str {
    if is_of_copy(there, ours) { COPIED_HINT } else { NOT_OURS_HINT }
}

/// Whether a marker that is not ours is that of a copy of this server.
pub(crate) fn is_of_copy(there: Option<&Marker>, ours: &Marker) -> bool {
    there.is_some_and(|there| is_of(there, ours) && !Holder::of(there).late)
}

/// A marker that is not ours, in words.
pub(crate) fn not_ours(name: &str, there: Option<&Marker>, ours: &Marker) -> String {
    match there.filter(|there| !there.is_nobodys()) {
        None => format!(
            "the marker of this installation was removed from `{name}` while it was written: the rest is not sent"
        ),
        Some(there) if Holder::of(there).late => format!(
            "another server has taken the marker of `{name}` while this one was stopped: nothing is sent"
        ),
        Some(there) if is_of(there, ours) => format!(
            "another copy of this server (same installation, same epoch) has written to `{name}` since: this is a copied machine \
             or an old snapshot"
        ),
        Some(there) => format!(
            "`{name}` belongs to installation {} (epoch {}), this is {} (epoch {})",
            there.installation, there.epoch, ours.installation, ours.epoch
        ),
    }
}

/// Whether both are of one installation at one epoch.
fn is_of(there: &Marker, ours: &Marker) -> bool {
    (&there.installation, there.epoch) == (&ours.installation, ours.epoch)
}

/// Who has a marker.
struct Holder<'m> {
    /// The taking that counts; `None` where a program set the marker that makes none.
    taken: Option<&'m str>,
    /// The session, where that is what counts.
    session: Option<&'m str>,
    /// The highest number.
    number: u64,
    /// A taking was written late, and counts for nothing: of whom the marker is, the session says alone.
    late: bool,
}

impl<'m> Holder<'m> {
    /// The number of a session, the taking that it belongs to, and all of it.
    fn session(marker: &'m Marker) -> Option<(u64, &'m str, &'m str)> {
        let session = marker.session.as_deref()?;
        let (number, rest) = session.split_once('-')?;
        Some((number.parse().ok()?, rest.split_once('-')?.0, session))
    }

    fn of(marker: &'m Marker) -> Self {
        let (taken, parts) = (marker.taken.as_deref(), Self::session(marker));
        let highest = parts.map_or(0, |(number, ..)| number).max(marker.number);
        match parts.filter(|(number, ..)| taken.is_some() && *number > marker.number) {
            Some((number, by, session)) => {
                Self { taken: Some(by), session: Some(session), number, late: taken != Some(by) }
            }
            None => Self { taken, session: None, number: highest, late: false },
        }
    }
}

/// Whether a copy of this server has begun a session while the marker was taken from it.
fn was_used(before: &Marker, taken: &Marker) -> bool {
    let session = Holder::session(taken);
    is_of(before, taken)
        && session
            .is_some_and(|(number, by, _)| number >= taken.number && Some(by) == before.taken.as_deref())
}

/// Whether another server had taken the marker, by a number as high as any of ours before this session.
fn was_taken(there: &Marker, ours: &Marker, session: u64) -> bool {
    there.taken.is_some() && there.taken != ours.taken && there.number + 1 >= session
}

/// The marker as this server has it.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) marker: Marker,
    /// Its session, and those before that an answer may still show: nobody else ever writes one of them.
    sessions: Vec<String>,
    /// Takings of this home from before.
    earlier: Vec<String>,
}

impl Claim {
    /// Whether what was read is this.
    pub(crate) fn is(&self, there: &Marker) -> bool {
        let holder = Holder::of(there);
        holder.taken == self.marker.taken.as_deref()
            && (holder.late || is_of(there, &self.marker))
            && self.knows(&holder)
    }

    /// Whether what was read is what this home had written before: an old answer. A copy that goes on with that has begun
    /// a session of its own.
    pub(crate) fn was(&self, there: &Marker) -> bool {
        let holder = Holder::of(there);
        holder.taken.is_some_and(|taken| self.earlier.iter().any(|one| one == taken)) && self.knows(&holder)
    }

    #[cfg(test)]
    pub(crate) fn with(marker: Marker, sessions: &[&str], earlier: &[&str]) -> Self {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self { marker, sessions: list(sessions), earlier: list(earlier) }
    }

    fn knows(&self, holder: &Holder<'_>) -> bool {
        holder.session.is_none_or(|session| self.sessions.iter().any(|known| known == session))
    }
}

/// Something that nobody else can know.
fn unheard_of() -> Result<String, ServiceError> {
    let mut bytes = [0u8; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| onesync_vault::VaultError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Service {
    /// What the marker at a target of ours says, but for what nobody can know.
    fn our_marker(&self) -> Marker {
        Marker::new(self.installation_id(), self.epoch())
    }

    /// This start of the machine and the folder of the home; `None` where that is not known.
    fn place(&self) -> Option<String> {
        let boot = self.clock().boot();
        let folder = std::fs::metadata(self.home().folder()).ok()?;
        (!boot.is_empty()).then(|| format!("{boot} {}:{}", folder.dev(), folder.ino()))
    }

    /// An error when the marker at a target keeps this server from writing there. Nothing is written.
    pub(crate) async fn must_have_marker(&self, connector: &ConnectorHandle) -> Result<(), ServiceError> {
        if !connector.capabilities.marker {
            return Ok(());
        }
        let there = read(connector).await?;
        self.judge(connector, there.as_ref(), &Known::read(self.home())?)
    }

    fn judge(
        &self,
        connector: &ConnectorHandle,
        there: Option<&Marker>,
        known: &Known,
    ) -> Result<(), ServiceError> {
        let Some(there) = there.filter(|there| !there.is_nobodys()) else { return Ok(()) };
        let ours = self.our_marker();
        let holder = Holder::of(there);
        let may = match holder.taken {
            Some(taken) if holder.late => known.took(taken),
            _ if there.installation != ours.installation => false,
            _ if there.epoch != ours.epoch => there.epoch < ours.epoch,
            // A program that makes none has written it, and knows nothing of copies.
            None => true,
            Some(taken) => known.took(taken) && holder.session.is_none_or(|one| known.began(one)),
        };
        if may { Ok(()) } else { Err(self.refused(connector, Some(there))) }
    }

    fn refused(&self, connector: &ConnectorHandle, there: Option<&Marker>) -> ServiceError {
        let ours = self.our_marker();
        let text = not_ours(connector.name(), there, &ours);
        let refused = ServiceError::held(text, hint(there, &ours));
        self.note_refusal(connector, &refused, is_of_copy(there, &ours));
        refused
    }

    /// Notes that a target refuses this server: `status` says so as long as it does.
    pub(crate) fn note_refusal(&self, connector: &ConnectorHandle, refused: &ServiceError, copied: bool) {
        let text = refused.to_string();
        let why = format!("{text} ({})", refused.hint().unwrap_or_default());
        let is_new = self.set_refusal(connector, Some(why)).unwrap_or_else(|error| {
            // Who has lost the database, too, is told by its standing.
            tracing::debug!("a refusal is not in the database: {error}");
            false
        });
        if copied {
            self.note_event(&SERVER_COPIED, connector.name(), &text);
        } else if is_new {
            self.note_event(&MARKER_REFUSED, connector.name(), &text);
        }
    }

    /// Why a target refuses this server, when it did the last time.
    pub(crate) fn refusal(&self, connector: &ConnectorHandle) -> Result<Option<String>, ServiceError> {
        let why = self.store().reader()?.state(connector.id, REFUSED_BY)?;
        Ok(why.map(|why| String::from_utf8_lossy(&why).into_owned()))
    }

    /// Remembers why a target refuses this server, or that it does not; whether that is new.
    pub(crate) fn set_refusal(
        &self,
        connector: &ConnectorHandle,
        why: Option<String>,
    ) -> Result<bool, ServiceError> {
        let why = why.map(String::into_bytes);
        if self.store().reader()?.state(connector.id, REFUSED_BY)? == why {
            return Ok(false);
        }
        let states = vec![(connector.id, REFUSED_BY.to_owned(), why)];
        self.store().apply(self.epoch(), &Changes { states, ..Changes::default() })?;
        Ok(true)
    }

    /// Has the marker of a target to which something is about to be written: takes it, or begins a new session where it is
    /// held.
    pub(crate) async fn claim(&self, connector: &ConnectorHandle) -> Result<Claim, ServiceError> {
        if !connector.capabilities.marker {
            return Ok(Known::default().claim(self.our_marker()));
        }
        let asked = self.clock().since_boot();
        let there = read(connector).await?;
        let mut known = Known::read(self.home())?;
        self.judge(connector, there.as_ref(), &known)?;
        let place = self.place();
        let held = |there: &Marker| {
            let holder = Holder::of(there);
            let known = holder.taken.zip(place.as_ref()).is_some_and(|(taken, at)| known.holds(taken, at));
            known && !holder.late && is_of(there, &self.our_marker())
        };
        let Some(there) = there.as_ref().filter(|there| held(there)) else {
            return self.take(connector, there.as_ref(), asked, known).await;
        };
        let number = Holder::of(there).number + 1;
        self.new_session(connector, &mut known, there.clone(), number, asked).await
    }

    /// Ends the session of an export: a copy that was made in the middle of it knows it.
    pub(crate) async fn leave(&self, connector: &ConnectorHandle, claim: &Claim) -> Result<(), ServiceError> {
        if claim.marker.session.is_none() {
            return Ok(());
        }
        let asked = self.clock().since_boot();
        let number = Holder::of(&claim.marker).number + 1;
        let mut known = Known::read(self.home())?;
        self.new_session(connector, &mut known, claim.marker.clone(), number, asked).await.map(drop)
    }

    /// Begins a session of a marker that is held by what was `asked` then.
    async fn new_session(
        &self,
        connector: &ConnectorHandle,
        known: &mut Known,
        marker: Marker,
        number: u64,
        asked: Duration,
    ) -> Result<Claim, ServiceError> {
        let session = format!("{number}-{}-{}", marker.taken.as_deref().unwrap_or_default(), unheard_of()?);
        let noted = known.of(connector);
        note(&mut noted.sessions, marker.session.as_deref(), &session);
        let claim = known.claim(Marker { session: Some(session), ..marker });
        known.write(self.home())?;
        let failed = |error| ServiceError::connector(connector.name(), error);
        connector.connector.set_session(&claim.marker).await.map_err(failed)?;
        if self.clock().since_boot().saturating_sub(asked) < MARKER_FRESH {
            return Ok(claim);
        }
        self.clock().wait(MARKER_FRESH * 2).await;
        let there = read(connector).await?;
        if let Some(there) = there.as_ref().filter(|there| was_taken(there, &claim.marker, number)) {
            // It took the marker back from whoever has taken it meanwhile, whose taking counts again without it.
            if there.session == claim.marker.session {
                let none = Marker { session: None, ..claim.marker };
                connector.connector.set_session(&none).await.map_err(failed)?;
            }
            return Err(self.refused(connector, Some(there)));
        }
        Ok(claim)
    }

    /// The installation that a target's marker names, in words, where it is none of these.
    pub(crate) async fn stranger(
        &self,
        connector: &ConnectorHandle,
        ids: &[String],
    ) -> Result<Option<String>, ServiceError> {
        let there = read(connector).await?.filter(|there| !there.is_nobodys());
        let stranger = there.filter(|there| !ids.contains(&there.installation));
        Ok(stranger.map(|there| format!("installation {} (epoch {})", there.installation, there.epoch)))
    }

    /// Takes the marker at a target for this server, whoever has it, and waits until whoever had it must have looked.
    /// Nothing may be written before.
    ///
    /// # Errors
    /// When the target does not answer, or another one took it back meanwhile.
    pub async fn take_marker(&self, connector: &ConnectorHandle) -> Result<(), ServiceError> {
        let asked = self.clock().since_boot();
        let there = read(connector).await?;
        self.take(connector, there.as_ref(), asked, Known::read(self.home())?).await?;
        self.set_refusal(connector, None).map(drop)
    }

    async fn take(
        &self,
        connector: &ConnectorHandle,
        before: Option<&Marker>,
        asked: Duration,
        mut known: Known,
    ) -> Result<Claim, ServiceError> {
        let taken = unheard_of()?;
        let nobodys = before.is_none_or(Marker::is_nobodys);
        // No higher than it must be where there is one: whoever is late with it would take the marker back.
        let number = before.map_or(0, |before| Holder::of(before).number);
        let begin = u64::try_from(self.now().seconds()).unwrap_or_default().max(known.highest());
        let number = if nobodys { number.max(begin) } else { number } + 1;
        let noted = known.of(connector);
        let gone = nobodys && !noted.taken.is_empty();
        note(&mut noted.taken, before.and_then(|before| Holder::of(before).taken), &taken);
        (noted.held, noted.place) = (None, None);
        let marker = Marker { taken: Some(taken), number, ..self.our_marker() };
        known.write(self.home())?;
        let failed = |error| ServiceError::connector(connector.name(), error);
        connector.connector.set_marker(&marker).await.map_err(failed)?;
        let late = self.clock().since_boot().saturating_sub(asked) >= MARKER_FRESH;
        for _ in 0..LOOKS_MAX {
            self.clock().wait(MARKER_FRESH * 2).await;
            let asked = self.clock().since_boot();
            let there = read(connector).await?;
            let holder = there.as_ref().map(Holder::of);
            if there.as_ref().is_some_and(|there| is_of(there, &marker))
                && holder.as_ref().is_some_and(|holder| holder.taken == marker.taken.as_deref())
            {
                let there = there.unwrap_or(marker);
                if let Some(before) = before.filter(|before| late && was_used(before, &there)) {
                    connector.connector.set_marker(before).await.map_err(failed)?;
                    return Err(self.refused(connector, Some(before)));
                }
                // Both are written before the first request: whoever is late with one of them takes nothing back.
                let claim = self.new_session(connector, &mut known, there, number + 1, asked).await?;
                let noted = known.of(connector);
                (noted.held, noted.place) = (claim.marker.taken.clone(), self.place());
                known.write(self.home())?;
                if gone {
                    self.note_event(&MARKER_GONE, connector.name(), "");
                }
                return Ok(claim);
            }
            // An answer from before: it is asked again.
            let ours = known.claim(marker.clone());
            if there.as_ref() != before && !there.as_ref().is_some_and(|there| ours.was(there)) {
                return Err(self.refused(connector, there.as_ref()));
            }
        }
        let text =
            format!("the marker of `{}` was set, and still shows what was there before", connector.name());
        let error = ConnectorError::new(ErrorClass::Transient, "MARKER-OLD", "marker", text);
        Err(ServiceError::connector(connector.name(), error))
    }
}

async fn read(connector: &ConnectorHandle) -> Result<Option<Marker>, ServiceError> {
    connector.connector.marker().await.map_err(|error| ServiceError::connector(connector.name(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn marker(taken: &str, number: u64, session: &str) -> Marker {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Marker { taken: some(taken), number, session: some(session), ..Marker::new("i", 1) }
    }

    #[test]
    fn the_higher_number_counts_and_the_taking_where_both_are_the_same() {
        let claim = Claim::with(marker("t", 5, "7-t-b"), &["6-t-a", "7-t-b"], &["s"]);
        for ours in [
            marker("t", 5, "7-t-b"),
            marker("t", 5, "6-t-a"), // an old answer
            marker("t", 5, ""),
            marker("t", 5, "5-u-c"), // a session that came late
            marker("u", 5, "7-t-b"), // a taking that came late
            Marker { installation: "j".to_owned(), ..marker("u", 6, "7-t-b") },
            marker("t", 5, "no session"),
        ] {
            assert!(claim.is(&ours), "{ours:?}");
        }
        for other in [
            marker("t", 5, "8-t-c"), // a copy with our taking
            marker("t", 5, "8-u-c"),
            marker("u", 8, "7-t-b"),
            marker("u", 7, "7-t-b"),
            marker("", 0, "7-t-b"), // of an older program
            Marker { epoch: 2, ..marker("t", 5, "7-t-b") },
        ] {
            assert!(!claim.is(&other) && !claim.was(&other), "{other:?}");
        }
    }

    #[test]
    fn what_this_home_had_written_before_is_an_old_answer_and_no_copy() {
        let claim = Claim::with(marker("t", 5, "6-t-a"), &["3-s-a", "6-t-a"], &["s"]);
        for old in [marker("s", 2, "3-s-a"), marker("s", 2, ""), marker("s", 3, "2-r-z")] {
            assert!(claim.was(&old) && !claim.is(&old), "{old:?}");
        }
        for other in [marker("s", 2, "4-s-b"), marker("t", 5, "7-t-x"), marker("u", 6, "6-t-a")] {
            assert!(!claim.was(&other), "{other:?}");
        }
    }

    #[test]
    fn a_session_that_came_late_gives_the_marker_back_to_whoever_had_it() {
        let ours = marker("t", 5, "8-t-c");
        for (there, had) in [
            (marker("t", 5, "8-t-c"), false),
            (marker("u", 7, "8-t-c"), true),  // as high as our session before
            (marker("u", 6, "8-t-c"), false), // that one was higher: it is this that came late
            (marker("u", 8, "9-u-a"), true),
            (marker("", 0, "8-t-c"), false),
        ] {
            assert_eq!(was_taken(&there, &ours, 8), had, "{there:?}");
        }
    }

    #[test]
    fn what_is_there_stays_known_however_often_something_else_could_not_be_written() {
        let mut list = vec!["there".to_owned()];
        for number in 0..99 {
            note(&mut list, Some("there"), &number.to_string());
        }
        assert_eq!((list.len(), &*list[0], &*list[1], &*list[33]), (34, "there", "66", "98"));
        note(&mut list, Some("98"), "99");
        assert_eq!((list.len(), &*list[0], &*list[32]), (33, "67", "99"));
    }
}
