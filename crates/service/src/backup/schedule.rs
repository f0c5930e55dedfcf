//! Backups by themselves: where to, how often, and how many are kept. The daemon takes them beside cycles.

use std::path::{Path, PathBuf};

use onesync_model::Time;
use onesync_store::ServiceChanges;
use onesync_vault::closed_to_owner;
use serde::{Deserialize, Serialize};

use super::inside::{KeysInside, RECIPIENTS};
use super::rehearse::Proven;
use super::take::BackupReport;
use crate::account;
use crate::config::parse_duration;
use crate::error::ServiceError;
use crate::events;
use crate::runtime::Service;
use crate::setup::name_of;

/// The setting with the schedule; empty: none.
const SCHEDULE: &str = "backup-schedule";
/// The setting with what became of the last one.
const LAST: &str = "backup-last";
/// Backups are not taken more often than one that failed is tried again, nor more rarely than this.
const EVERY: std::ops::RangeInclusive<i64> = 600..=366 * 86_400;
/// One backup more than this is no retention any more.
const KEEP_MAX: usize = 10_000;
/// How often, and how many are kept, where nobody has said.
const UNSAID: (&str, usize) = ("1d", 14);
/// Intervals after which a backup that did not come is an alarm.
const LATE: i64 = 2;
const TICKS: i64 = 10_000_000;
/// Seconds after which one that failed is tried again.
const RETRY: i64 = 600;

/// When backups are taken by themselves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Scheduled {
    /// The folder.
    pub folder: PathBuf,
    /// How often, as it was written.
    pub every: String,
    /// How many are kept.
    pub keep: usize,
    /// Since when.
    pub since: String,
    /// For whom the keys are inside; where nobody is named, they are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
}

/// What is to be another in a schedule; the rest stays as it was.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ScheduleChange<'c> {
    /// The folder.
    pub folder: Option<&'c Path>,
    /// How often.
    pub every: Option<&'c str>,
    /// How many are kept.
    pub keep: Option<usize>,
    /// For whom the keys are inside; nobody: they are not.
    pub recipients: Option<&'c [String]>,
}

/// The last backup that was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Taken {
    /// The state that is in it.
    pub when: String,
    /// The file.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why it would be of no use without this server.
    pub not_restorable: Option<String>,
}

/// A backup that was to be taken, and was not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// When.
    pub when: String,
    /// Why.
    pub why: String,
}

/// What is kept about backups.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Last {
    taken: Option<Taken>,
    /// Since the last one that was taken.
    failed: Option<Failed>,
}

/// Backups in one look.
#[derive(Clone, Debug, Serialize)]
pub struct BackupView {
    /// The last one.
    pub last: Option<Taken>,
    /// What failed since.
    pub failed: Option<Failed>,
    /// When they are taken by themselves.
    pub schedule: Option<Scheduled>,
    /// When the next one is due.
    pub next: Option<String>,
    /// The last rehearsal that proved a restore.
    pub rehearsed: Option<Proven>,
}

impl Scheduled {
    fn seconds(&self) -> i64 {
        parse_duration(&self.every).unwrap_or(*EVERY.end())
    }

    /// When the next one is due; at once when none was taken since the schedule began. A clock that was put back must not
    /// make everybody wait for the old time.
    fn due(&self, last: &Last, now: Time) -> Time {
        let next = self.due_by_itself(last, now);
        // One that failed is tried again, and not at once.
        let failed = last.failed.as_ref().and_then(|failed| failed.when.parse::<Time>().ok());
        failed.map_or(next, |failed| next.max(failed.min(now).plus_seconds(RETRY)))
    }

    fn due_by_itself(&self, last: &Last, now: Time) -> Time {
        let since = self.since.parse::<Time>().unwrap_or_default().min(now);
        let taken = last.taken.as_ref().and_then(|taken| taken.when.parse::<Time>().ok());
        match taken.map(|taken| taken.min(now)).filter(|taken| *taken >= since) {
            None => since,
            Some(taken) => taken.plus_seconds(self.seconds()),
        }
    }
}

/// The setting that says that one was taken.
pub(super) fn note_taken(taken: Taken) -> Result<(String, String), ServiceError> {
    setting(LAST, &Last { taken: Some(taken), failed: None })
}

impl Service {
    fn last_backup(&self) -> Result<Last, ServiceError> {
        let text = self.store().reader()?.setting(LAST)?;
        // What another version wrote is no reason not to go on: it is as if none had been taken.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// When backups are taken by themselves.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn backup_schedule(&self) -> Result<Option<Scheduled>, ServiceError> {
        let text = self.store().reader()?.setting(SCHEDULE)?.filter(|text| !text.is_empty());
        let read = |text: String| {
            serde_json::from_str(&text).map_err(|error| {
                ServiceError::config(
                    format!("the schedule of backups in the database cannot be read: {error}"),
                    "end it with `onesync backup schedule off`, and set it anew",
                )
            })
        };
        text.map(read).transpose()
    }

    /// Has backups taken by themselves: a folder, how often, how many are kept; with keys inside for recipients, where some
    /// are named. `None` switches it off.
    ///
    /// # Errors
    /// When the folder is none, a number is out of its bounds, or a recipient is none.
    pub fn set_backup_schedule(
        &self,
        wanted: Option<(&Path, &str, usize)>,
        recipients: &[String],
    ) -> Result<(), ServiceError> {
        let (mut secrets, mut secrets_deleted) = (Vec::new(), vec![RECIPIENTS.to_owned()]);
        let mut settings = Vec::new();
        let (text, words) = match wanted {
            None => (String::new(), "off".to_owned()),
            Some((folder, every, keep)) => {
                let seconds = parse_duration(every)
                    .map_err(|why| ServiceError::usage(why, "write e.g. `--every 1d`"))?;
                if !EVERY.contains(&seconds) || !(1..=KEEP_MAX).contains(&keep) {
                    return Err(ServiceError::usage(
                        format!("backups every `{every}`, of which {keep} are kept, are out of bounds"),
                        format!("write at least `10m` and at most `366d`, and keep 1 to {KEEP_MAX}"),
                    ));
                }
                // The daemon has another working directory.
                let folder = std::fs::canonicalize(folder).map_err(super::at(folder))?;
                if !folder.is_dir() {
                    return Err(ServiceError::usage(
                        format!("{} is no folder", folder.display()),
                        "name a folder, on another disk than the database",
                    ));
                }
                self.must_reach(&folder)?;
                let mut words = format!("every {every} into {}, {keep} are kept", folder.display());
                if !recipients.is_empty() {
                    self.inside(&KeysInside::Recipients(recipients))?;
                    (secrets, secrets_deleted) = (vec![self.vouch(recipients)?], Vec::new());
                    words.push_str(&format!(", with the keys inside for {}", recipients.join(", ")));
                }
                settings.extend(self.note_folder(&folder, None)?);
                let (every, since) = (every.to_owned(), self.now().to_string());
                let scheduled = Scheduled { folder, every, keep, since, recipients: recipients.to_vec() };
                (setting(SCHEDULE, &scheduled)?.1, words)
            }
        };
        self.note_recipients(recipients)?;
        // What failed under the schedule before says nothing of this one, which is tried at once.
        settings.push(setting(LAST, &Last { failed: None, ..self.last_backup()? })?);
        let events = vec![self.audit(&events::BACKUPS_SCHEDULED, &words, "")];
        settings.push((SCHEDULE.to_owned(), text));
        self.record(&ServiceChanges {
            settings,
            events,
            secrets,
            secrets_deleted,
            ..ServiceChanges::default()
        })
    }

    /// Changes what is named of the schedule, or begins one where a folder is named.
    ///
    /// # Errors
    /// As [`Service::set_backup_schedule`]; when there is no schedule and no folder; when the recipients that would stay are not
    /// those that somebody named.
    pub fn change_backup_schedule(&self, change: &ScheduleChange<'_>) -> Result<(), ServiceError> {
        let before = self.backup_schedule()?;
        let before = before.as_ref();
        if let (Some(before), None) = (before, change.recipients) {
            self.must_be_vouched(before)?;
        }
        let folder = change.folder.or(before.map(|before| before.folder.as_path())).ok_or_else(|| {
            ServiceError::usage(
                "no backups are taken by themselves yet: where to is missing",
                "name a folder, on another disk than the database: `onesync backup schedule DIR`",
            )
        })?;
        let every = change.every.or(before.map(|before| before.every.as_str())).unwrap_or(UNSAID.0);
        let keep = change.keep.or(before.map(|before| before.keep)).unwrap_or(UNSAID.1);
        let recipients = change.recipients.or(before.map(|before| before.recipients.as_slice()));
        self.set_backup_schedule(Some((folder, every, keep)), recipients.unwrap_or_default())
    }

    /// An error when the account that runs the service may not write into a folder that whoever names it may.
    fn must_reach(&self, folder: &Path) -> Result<(), ServiceError> {
        let barred = closed_to_owner(self.home().folder(), folder, true).map_err(super::at(folder))?;
        barred.map_or(Ok(()), |(barred, owner)| Err(no_right(&name_of(owner), folder, &barred)))
    }

    /// Whether the schedule was set so short a time ago.
    pub(crate) fn backups_were_scheduled_within(&self, ago: std::time::Duration) -> bool {
        let since =
            self.backup_schedule().ok().flatten().and_then(|schedule| schedule.since.parse::<Time>().ok());
        let ago = i64::try_from(ago.as_secs()).unwrap_or(i64::MAX);
        since.is_some_and(|since| self.now().seconds().saturating_sub(since.seconds()) <= ago)
    }

    /// Whether a backup is due.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn backup_is_due(&self) -> Result<bool, ServiceError> {
        // What is a copy was restored with the schedule of the installation that it is of, and is none of its backups.
        if self.copy_of()?.is_some() {
            return Ok(false);
        }
        let Some(schedule) = self.backup_schedule()? else { return Ok(false) };
        Ok(schedule.due(&self.last_backup()?, self.now()) <= self.now())
    }

    /// Takes the backup that is due, and removes what is more than is kept. What fails is noted.
    ///
    /// # Errors
    /// When it cannot be taken; the older ones are kept then.
    pub fn scheduled_backup(&self) -> Result<Option<BackupReport>, ServiceError> {
        let Some(schedule) = self.backup_schedule()? else { return Ok(None) };
        let inside = Some(KeysInside::Recipients(&schedule.recipients));
        let inside = inside.filter(|_| !schedule.recipients.is_empty());
        let taken = self
            .must_be_vouched(&schedule)
            .and_then(|()| self.backup_in(&schedule.folder, inside.as_ref(), &|_, _| self.check_stop()))
            .and_then(|report| {
                self.retain(&schedule)?;
                Ok(report)
            })
            .map_err(|error| match error {
                ServiceError::File { place, source }
                    if source.kind() == std::io::ErrorKind::PermissionDenied =>
                {
                    let me = account::uid().map_or_else(|| "this account".to_owned(), name_of);
                    no_right(&me, &schedule.folder, Path::new(&place))
                }
                error => error,
            });
        if let Err(error) = &taken {
            let failed = Some(Failed { when: self.now().to_string(), why: error.to_string() });
            let note = setting(LAST, &Last { failed, ..self.last_backup()? })?;
            let events = vec![self.audit(
                &events::BACKUP_FAILED,
                &schedule.folder.display().to_string(),
                &error.to_string(),
            )];
            self.record(&ServiceChanges { settings: vec![note], events, ..ServiceChanges::default() })?;
        }
        taken.map(Some)
    }

    fn retain(&self, schedule: &Scheduled) -> Result<(), ServiceError> {
        let backups = self.backups_in(&schedule.folder)?;
        let gone = backups.len().saturating_sub(schedule.keep);
        let halves = self.halves_in(&schedule.folder)?;
        let gone = backups.iter().take(gone).chain(&halves);
        gone.into_iter().try_for_each(|file| std::fs::remove_file(file).map_err(super::at(file)))
    }

    /// Backups in one look.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn backups(&self) -> Result<BackupView, ServiceError> {
        let (last, schedule) = (self.last_backup()?, self.backup_schedule()?);
        let now = self.now();
        // The daemon looks again and again: what is due is next.
        let next = schedule.as_ref().filter(|_| !self.copy_of().is_ok_and(|copy| copy.is_some()));
        let next = next.map(|schedule| schedule.due(&last, now).max(now).to_string());
        let rehearsed = Proven::of(&*self.store().reader()?)?;
        Ok(BackupView { next, schedule, last: last.taken, failed: last.failed, rehearsed })
    }

    /// What is wrong with backups.
    pub(crate) fn backup_alarms(&self) -> Result<Vec<String>, ServiceError> {
        let Some(schedule) = self.backup_schedule()? else { return Ok(Vec::new()) };
        let noted = self.last_backup()?;
        let due = schedule.due(&noted, self.now());
        let Last { taken: last, failed } = noted;
        let mut alarms = Vec::new();
        let until = last
            .as_ref()
            .map_or_else(|| "none was taken".to_owned(), |last| format!("the last one is of {}", last.when));
        if let Some(Failed { when, why }) = failed {
            alarms.push(format!(
                "the backup of {when} into {} failed, and {until}: {why}",
                schedule.folder.display()
            ));
        } else if self.copy_of()?.is_none()
            && self.now().ticks() - due.ticks() > (LATE - 1) * schedule.seconds() * TICKS
        {
            alarms.push(format!(
                "a backup is due since {due}, and {until}: the daemon takes them, does it run?"
            ));
        }
        if let Some(why) = last.and_then(|last| last.not_restorable) {
            alarms.push(format!("the last backup is {why}"));
        }
        Ok(alarms)
    }
}

/// An account that may not write where backups are to go.
fn no_right(account: &str, folder: &Path, barred: &Path) -> ServiceError {
    ServiceError::held(
        format!(
            "`{account}`, the account that runs the service, may not write backups into {}: {} is closed to it",
            folder.display(),
            barred.display()
        ),
        format!(
            "give it the right (for instance `chown {account} {}`), or name another folder: `onesync backup schedule DIR`",
            barred.display()
        ),
    )
}

/// A setting as it is written.
pub(super) fn setting(name: &str, value: &impl Serialize) -> Result<(String, String), ServiceError> {
    let text = serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok((name.to_owned(), text))
}
