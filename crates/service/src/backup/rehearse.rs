//! A restore that is rehearsed: into a scratch place, with the keys of a key file, up to a full cycle in staging.
//!
//! What it proves: the backup can be read, its secrets open, the directories answer with them, and after everything was
//! read nothing is owed that was not owed when the backup was taken. Nothing is written but to the scratch place, which
//! goes. Deliberately absent: activation, which takes the place of a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use onesync_engine::{ChangeState, ExportRow};
use onesync_model::{ConnectorId, Operation};
use onesync_store::{ServiceChanges, StoreReader};
use onesync_vault::{Kek, Unlock, Vault};
use serde::{Deserialize, Serialize};

use super::restore::{Heard, put_back};
use crate::clock::Clock;
use crate::database::{DatabaseServer, EMBEDDED};
use crate::error::ServiceError;
use crate::events;
use crate::home::Home;
use crate::runs::Step;
use crate::runtime::{Runtime, Service};
use crate::scratch::Scratch;

/// The setting with the last rehearsal that proved a restore.
pub(crate) const REHEARSED: &str = "restore-rehearsed";
/// Changes of each connector that are named.
const NAMED: usize = 5;

/// What opens the secrets of the backup.
pub enum RehearsedKeys<'k> {
    /// No key is needed, or what needs one is to fail.
    None,
    /// A key file, and what opens it.
    File(&'k [u8], &'k Unlock),
}

/// What a rehearsal found.
#[derive(Clone, Debug, Serialize)]
pub struct Rehearsal {
    /// The backup.
    pub file: PathBuf,
    /// The state that is in it.
    pub taken: String,
    /// Its installation.
    pub installation: String,
    /// Whether it proved a restore: everything opens, all directories were read, and nothing new is owed.
    pub proven: bool,
    /// Rows that were restored.
    pub rows: u64,
    /// Objects that the directories showed.
    pub read: u64,
    /// Connectors that could not be read, and why: of these the state in the backup was taken.
    pub away: Vec<String>,
    /// The names of these connectors.
    pub unread: Vec<String>,
    /// What would be written that was not owed when the backup was taken.
    pub owed: Vec<Owed>,
    /// How long it took.
    pub seconds: f64,
    /// Why it is not noted in the home.
    pub not_noted: Option<String>,
}

/// What would be written to a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owed {
    /// The connector.
    pub connector: String,
    /// How many objects would be created, changed and deleted.
    pub create: u64,
    /// See `create`.
    pub update: u64,
    /// See `create`.
    pub delete: u64,
    /// Link values that would be added or removed.
    pub links: u64,
    /// Some of them.
    pub samples: Vec<String>,
}

/// The last rehearsal that proved a restore, or found nothing against one where not all directories were read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proven {
    /// When.
    pub when: String,
    /// The backup.
    pub file: String,
    /// The state that is in it.
    pub taken: String,
    /// Connectors that could not be read: of what would be written there nothing is proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away: Vec<String>,
}

/// What would be sent to a connector: objects to create, to change, to delete, link values, and the sum of all hashes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    counts: [u64; 4],
    hashes: onesync_model::Hash128,
}

fn sum(reader: &dyn StoreReader, connector: ConnectorId) -> Result<Sum, ServiceError> {
    let mut sum = Sum::default();
    let waits = |state: ChangeState| matches!(state, ChangeState::Pending | ChangeState::Sending);
    for row in reader.export_counts()? {
        if row.connector == connector && waits(row.state) && row.kinds & ExportRow::KINDS_NOT_SENT == 0 {
            let place = match row.operation {
                Operation::Add => 0,
                Operation::Update => 1,
                Operation::Delete => 2,
            };
            sum.counts[place] += row.count;
            sum.hashes = sum.hashes.plus(row.hashes);
        }
    }
    for row in reader.export_link_counts()? {
        if row.connector == connector && waits(row.state) {
            sum.counts[3] += row.count;
            sum.hashes = sum.hashes.plus(row.hashes);
        }
    }
    Ok(sum)
}

/// The folder of a home that was made for this.
struct Made(Option<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        // Only an empty folder goes: somebody may have put something there meanwhile.
        if let Some(Err(error)) = self.0.as_ref().map(std::fs::remove_dir) {
            tracing::debug!(%error, "the folder of the home stays");
        }
    }
}

/// Restores a backup into a scratch place, reads all directories, and looks what would be owed. The home is where relative
/// paths begin, and where it is noted when it is of the same installation.
///
/// # Errors
/// When the backup is damaged or the key file does not open its secrets, or `heard` ends it.
pub async fn rehearse(
    home: &Home,
    clock: Arc<dyn Clock>,
    threads: usize,
    file: &Path,
    keys: &RehearsedKeys<'_>,
    heard: Heard<'_>,
) -> Result<Rehearsal, ServiceError> {
    let began = Instant::now();
    let whole = home.exists();
    let made = Made(std::fs::symlink_metadata(home.folder()).is_err().then(|| home.folder().to_owned()));
    home.make_folder()?;
    let scratch = Scratch::make(home.folder())?;
    let place = Home::new(scratch.home());
    let embedded = DatabaseServer::new(EMBEDDED, None);
    let restored = tokio::task::block_in_place(|| put_back(&place, &*clock, file, &embedded, heard, false))?;
    if let RehearsedKeys::File(bytes, unlock) = keys {
        Vault::install(&place.key_set(), &super::open_key_file(bytes, unlock)?, &Kek::default())?;
    }
    let service = Service::open_from(place, home.folder().to_owned(), clock.clone(), threads).await?;
    service.secrets_open()?;
    let runtime = service.runtime()?;
    let before = service.owed_sums(&runtime)?;
    let (read, unread) = service.read_all(&runtime).await?;
    let (unread, away): (Vec<String>, Vec<String>) = unread.into_iter().unzip();
    // What was read may have told the source anchor.
    let runtime = service.runtime()?;
    let after = service.owed_sums(&runtime)?;
    let mut owed = Vec::new();
    for (connector, sum) in after.iter().filter(|(name, sum)| {
        *sum != Sum::default()
            && before.iter().find(|(known, _)| known == name).is_none_or(|(_, then)| then != sum)
    }) {
        let [create, update, delete, links] = sum.counts;
        let plan = service.staging_plan_with(&runtime, runtime.connector(connector)?, NAMED)?;
        let sent = ["create", "update", "adopt", "delete"];
        let groups = plan.groups.into_iter().filter(|group| sent.contains(&group.what.as_str()));
        let samples = groups.flat_map(|group| {
            let what = format!("{} {}", group.what, group.object_type);
            group.samples.into_iter().map(move |sample| format!("{what}: {sample}"))
        });
        let samples = samples.take(NAMED).collect();
        owed.push(Owed { connector: connector.clone(), create, update, delete, links, samples });
    }
    drop(service);
    let mut rehearsal = Rehearsal {
        file: file.to_owned(),
        taken: restored.taken,
        installation: restored.installation,
        proven: owed.is_empty() && away.is_empty(),
        rows: restored.rows,
        read,
        away,
        unread,
        owed,
        seconds: began.elapsed().as_secs_f64(),
        not_noted: None,
    };
    drop((scratch, made));
    if whole {
        let noted = note(home, clock, &rehearsal).await;
        rehearsal.not_noted = noted.err().map(|error| error.to_string());
    }
    Ok(rehearsal)
}

/// Notes it in a home of the same installation.
async fn note(home: &Home, clock: Arc<dyn Clock>, rehearsal: &Rehearsal) -> Result<(), ServiceError> {
    let service = Service::open(home.clone(), clock, 1).await?;
    if service.installation_id() != rehearsal.installation {
        return Err(ServiceError::usage(
            format!("the home holds installation {}", service.installation_id()),
            "name the home of the installation that the backup is of",
        ));
    }
    let (when, file) = (service.now().to_string(), rehearsal.file.display().to_string());
    let opens = rehearsal.owed.is_empty();
    let words = match (opens, rehearsal.unread.as_slice()) {
        (true, []) => "nothing new is owed".to_owned(),
        (true, unread) => format!("restored and opened; {}", not_proven(unread)),
        (false, _) => "it would write what was not owed when the backup was taken".to_owned(),
    };
    let event = if opens { &events::RESTORE_REHEARSED } else { &events::REHEARSAL_FAILED };
    let events = vec![service.audit(event, &file, &words)];
    let mut settings = Vec::new();
    if opens {
        let (taken, away) = (rehearsal.taken.clone(), rehearsal.unread.clone());
        let proven = Proven { when, file, taken, away };
        let text =
            serde_json::to_string(&proven).map_err(|error| ServiceError::Internal(error.to_string()))?;
        settings.push((REHEARSED.to_owned(), text));
    }
    service.record(&ServiceChanges { settings, events, ..ServiceChanges::default() })
}

/// What a rehearsal does not say of which some directories were not read.
fn not_proven(unread: &[String]) -> String {
    format!("not proven that nothing would be written: `{}` was not read", unread.join("`, `"))
}

impl Rehearsal {
    /// What it does not prove, where directories were not read.
    #[must_use]
    pub fn not_proven(&self) -> Option<String> {
        (!self.unread.is_empty()).then(|| not_proven(&self.unread))
    }
}

impl Proven {
    /// What it does not prove, where directories were not read.
    #[must_use]
    pub fn not_proven(&self) -> Option<String> {
        (!self.away.is_empty()).then(|| not_proven(&self.away))
    }

    /// What a database says of it.
    pub(super) fn of(reader: &dyn StoreReader) -> Result<Option<Self>, ServiceError> {
        // What another version wrote proves nothing to this one.
        Ok(reader.setting(REHEARSED)?.and_then(|text| serde_json::from_str(&text).ok()))
    }
}

impl Service {
    /// An error when a secret in the database does not open.
    fn secrets_open(&self) -> Result<(), ServiceError> {
        let closed = crate::secrets::open_all(&*self.store().reader()?, self.vault().ok().as_ref())?.closed;
        if closed.is_empty() {
            return Ok(());
        }
        Err(ServiceError::held(
            format!("the secrets {} of the backup do not open with these keys", closed.join(", ")),
            "name the key file that was exported after the keys in it were made: `--key-file FILE`",
        ))
    }

    fn owed_sums(&self, runtime: &Runtime) -> Result<Vec<(String, Sum)>, ServiceError> {
        let reader = self.store().reader()?;
        let writable = runtime.connectors.iter().filter(|connector| connector.capabilities.export);
        writable.map(|connector| Ok((connector.name().to_owned(), sum(&*reader, connector.id)?))).collect()
    }

    /// Full imports of all connectors, then full syncs of all; those that do not answer are taken as they were.
    async fn read_all(&self, runtime: &Runtime) -> Result<(u64, Vec<(String, String)>), ServiceError> {
        let _lock = self.begin_work("restore rehearse")?;
        let (mut read, mut away) = (0, Vec::new());
        for connector in &runtime.connectors {
            match self.one_step(connector.name(), Step::FullImport, &|_| ()).await {
                Ok(run) => {
                    let c = run.counters;
                    read += c.add + c.update + c.unchanged + c.confirmed;
                }
                Err(error) if error.ends_everything() => return Err(error),
                Err(error) => {
                    away.push((connector.name().to_owned(), format!("`{}`: {error}", connector.name())));
                }
            }
        }
        for connector in &runtime.connectors {
            self.one_step(connector.name(), Step::FullSync, &|_| ()).await?;
        }
        Ok((read, away))
    }
}
