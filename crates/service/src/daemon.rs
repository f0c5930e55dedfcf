//! The daemon: runs cycles when they are due, and says on a local socket how it is.
//!
//! It holds the installation only while a cycle runs: in between, whoever uses the command line may work. Each cycle
//! opens the installation anew, so that what was changed meanwhile (configuration, secrets, key set) counts.
//! Deliberately absent: what the system's service manager wants to hear (the program), the interval (the
//! configuration), anything of a cycle itself.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use onesync_model::Time;
use onesync_store::ServerRow;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Home;
use crate::backup::BackupReport;
use crate::clock::Clock;
use crate::cycle::CycleReport;
use crate::database::Named;
use crate::error::ServiceError;
use crate::events;
use crate::lease::{Keeper, RENEW};
use crate::runs::Progress;
use crate::runtime::Service;
use crate::scheduler::{Due, LastCycle};
use crate::standby::Watch;
use crate::standing::{LEASE, Standing};
use crate::upkeep::Maintained;
use crate::work::WorkLock;

/// The lock of the one daemon of a home.
pub(crate) const LOCK: &str = "serve.lock";
/// The socket in the home.
const SOCKET: &str = "serve.sock";
/// How often is looked whether something was switched, applied, or ended meanwhile.
const LOOK: Duration = Duration::from_secs(2);
/// How long is waited after the installation could not be opened or read.
const RETRY: Duration = Duration::from_secs(10);
/// Maintenance or a backup that failed is not tried again before.
const UPKEEP_RETRY: Duration = Duration::from_secs(600);
/// How long a cycle has to come to a stop.
const STOP: Duration = Duration::from_secs(9);
/// How long whoever asks on the socket waits for an answer, or has to take one.
const ANSWER: Duration = Duration::from_secs(2);
/// More is no answer of ours.
const ANSWER_MAX: u64 = 64 << 10;

/// How the daemon is: what its socket says, one JSON object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Heart {
    /// The process.
    pub process: u32,
    /// The program's version.
    pub version: String,
    /// Since when it runs.
    pub since: String,
    /// What it does, or waits for.
    pub doing: String,
    /// The step under way: connector, step, objects done, of how many where that is known.
    pub step: Option<StepUnderWay>,
}

/// A step under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepUnderWay {
    /// The connector.
    pub connector: String,
    /// The step.
    pub step: String,
    /// Objects done.
    pub done: u64,
    /// Of so many, where that is known.
    pub of: Option<u64>,
}

/// What the daemon tells while it runs.
#[derive(Debug)]
pub enum Told {
    /// It is ready: the socket answers.
    Ready,
    /// What it does, or waits for, has changed.
    Doing(String),
    /// The database was maintained.
    Maintained(Box<Result<Maintained, ServiceError>>),
    /// A backup was taken, or could not be.
    BackedUp(Box<Result<BackupReport, ServiceError>>),
    /// A cycle has ended.
    Cycle(Box<Result<CycleReport, ServiceError>>),
    /// The installation cannot be opened or read now; it is tried again.
    Trouble(ServiceError),
}

/// What a daemon needs.
pub struct Daemon {
    /// The home.
    pub home: Home,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Threads of a sync.
    pub threads: usize,
    /// Asks it to end: why.
    pub stop: watch::Receiver<Option<String>>,
    /// Hears what it tells.
    pub tell: Arc<dyn Fn(Told) + Send + Sync>,
}

/// Maintenance or a backup under way, or the last one, and when it began.
type Upkeep = (Instant, JoinHandle<()>);
type Beat = Arc<Mutex<Heart>>;

/// The lease of the active server.
struct Kept {
    named: Option<Named>,
    row: ServerRow,
    _keeper: Keeper,
}

/// The installation as it was opened, and what is next.
struct Looked {
    open: Arc<Service>,
    next: Next,
    /// What is wrong with the keys of a server that stands by.
    lacks: Option<ServiceError>,
}

enum Next {
    /// A cycle.
    Now,
    /// This server took over, with this epoch: the installation is opened anew.
    Again(u64),
    /// Nothing: what is waited for, and how long at most before looking again.
    Wait(String, Duration),
}

impl Home {
    /// How the daemon of this home is, also when its database does not answer; `None` when none runs.
    #[must_use]
    pub fn daemon(&self) -> Option<Heart> {
        heart(self.folder())
    }
}

/// Asks the daemon of a home how it is; `None` when none answers.
pub(crate) fn heart(folder: &Path) -> Option<Heart> {
    let socket = UnixStream::connect(folder.join(SOCKET)).ok()?;
    socket.set_read_timeout(Some(ANSWER)).ok()?;
    let mut text = String::new();
    socket.take(ANSWER_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

impl Daemon {
    /// Runs until it is asked to end; gives why. On a server that is not the active one it looks, and stands by where it
    /// is told to.
    ///
    /// # Errors
    /// When another one serves this home, there is no installation, or a cycle does not come to its end in time (nothing is
    /// lost by that).
    pub async fn run(mut self) -> Result<String, ServiceError> {
        let (mut opened, mut active) = (None, None);
        let ended = self.serve(&mut opened, &mut active).await;
        drop(active); // renewed no more, so that what follows is the last word
        if let Some(service) = opened {
            let text = match &ended {
                Ok(why) => why.clone(),
                Err(error) => error.to_string(),
            };
            // A database that does not answer now is not waited for.
            let noted = tokio::task::spawn_blocking(move || {
                service.note_daemon(&events::SERVICE_STOPPED, &text);
                service.leave_lease()
            });
            let why = match tokio::time::timeout(ANSWER, noted).await {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(error))) => Some(error.to_string()),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it does not answer".to_owned()),
            };
            if let Some(why) = why {
                tracing::warn!("that the service ends is not in the database: {why}");
            }
        }
        ended
    }

    /// Runs; the installation as it was opened last stands in `opened`, its lease in `active`.
    async fn serve(
        &mut self,
        opened: &mut Option<Arc<Service>>,
        active: &mut Option<Kept>,
    ) -> Result<String, ServiceError> {
        let folder = self.home.folder().to_owned();
        if !self.home.exists() {
            // Says what is missing: waiting would not help.
            self.home.open().map(|_| ())?;
        }
        let _lock = WorkLock::take_file(&folder, LOCK, "serve", self.clock.now())?;
        crate::plan::forget_leftovers(&folder);
        let beat = Arc::new(Mutex::new(Heart {
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.clock.now().to_string(),
            doing: "begins".to_owned(),
            step: None,
        }));
        let _socket = Socket::open(&folder, beat.clone())?;
        (self.tell)(Told::Ready);
        let (mut service, mut told, mut lacks) = (None, "active", None);
        let (mut upkeep, mut backup) = (None, None);
        loop {
            // On a thread of its own: a database or a directory may be waited for, and a wish to end is heard meanwhile.
            let (handle, home) = (tokio::runtime::Handle::current(), self.home.clone());
            let (clock, threads, open) = (self.clock.clone(), self.threads, service.take());
            let work = tokio::task::spawn_blocking(move || handle.block_on(look(home, clock, threads, open)));
            let mut looked = tokio::select! {
                biased;
                why = asked(&mut self.stop) => return Ok(why),
                looked = work => looked.unwrap_or_else(|error| Err(ServiceError::Internal(error.to_string()))),
            };
            if let Ok(looked) = &mut looked {
                self.tell_lacks(looked, &mut lacks);
            }
            if let Ok(Looked { open, .. }) = &looked {
                if opened.replace(open.clone()).is_none() {
                    let (begun, tell) = (open.clone(), self.tell.clone());
                    tokio::task::spawn_blocking(move || {
                        if let Err(error) = begun.note_begun() {
                            tell(Told::Trouble(error));
                        }
                    });
                }
                if let Err(error) = self.keep(open, active) {
                    tracing::warn!("the lease cannot be kept: {error}"); // tried again with the next look
                }
                let word = open.standing().word();
                if std::mem::replace(&mut told, word) != word
                    && let Err(error) = open.must_be_active()
                {
                    if matches!(open.standing(), Standing::Replaced { .. }) {
                        // Into its database it cannot write any more.
                        let (id, text) = (open.installation_id(), error.to_string());
                        events::tell(&events::row(self.clock.now(), &events::SERVICE_REPLACED, id, &text));
                    }
                    if let Standing::Behind { what, .. } = open.standing() {
                        open.tell_behind(what);
                    }
                    (self.tell)(Told::Trouble(error));
                }
            }
            let waits = match looked {
                Ok(Looked { next: Next::Again(epoch), open, .. }) => {
                    if let Ok(Some(idle)) = open.is_idle(epoch) {
                        (self.tell)(Told::Trouble(idle));
                    }
                    self.doing(&beat, format!("took over: epoch {epoch}"));
                    Duration::ZERO
                }
                Ok(Looked { open, next: Next::Now, .. }) => {
                    self.doing(&beat, "cycle".to_owned());
                    match self.cycle(&open, &beat).await {
                        Ok(()) => Duration::ZERO,
                        Err(error) => self.trouble(&beat, error)?,
                    }
                }
                Ok(Looked { open, next: Next::Wait(what, at_most), .. }) => {
                    self.doing(&beat, what);
                    if open.must_be_active().is_ok() {
                        upkeep = self.maintain(&open, upkeep);
                        backup = self.back_up(&open, backup);
                    }
                    service = Some(open);
                    at_most
                }
                Err(error) => self.trouble(&beat, error)?,
            };
            tokio::select! {
                biased;
                why = asked(&mut self.stop) => return Ok(why),
                () = tokio::time::sleep(waits) => {}
            }
        }
    }

    /// Tells once what is wrong with the keys of this server, while it stands by.
    fn tell_lacks(&self, looked: &mut Looked, told: &mut Option<String>) {
        let lacks = looked.lacks.take();
        let what = lacks.as_ref().map(ToString::to_string);
        if std::mem::replace(told, what.clone()) != what
            && let Some(lacks) = lacks
        {
            let words = format!("this server stands by, and does not take over: {lacks}");
            // Into its database it cannot write.
            let id = looked.open.installation_id();
            events::tell(&events::row(self.clock.now(), &events::KEYS_MISSING, id, &words));
            (self.tell)(Told::Trouble(ServiceError::held(words, lacks.hint().unwrap_or_default())));
        }
    }

    /// Begins to maintain the database when that is due.
    fn maintain(&self, service: &Arc<Service>, running: Option<Upkeep>) -> Option<Upkeep> {
        self.beside(service, running, Service::maintenance_is_due, |service, tell| {
            let ended = service.maintain(&|_| ());
            if let Err(error) = &ended
                && !matches!(error, ServiceError::Stopped { .. })
            {
                let text = error.to_string();
                service.note_event(&events::MAINTENANCE_FAILED, service.installation_id(), &text);
            }
            tell(Told::Maintained(Box::new(ended)));
        })
    }

    /// Begins to take a backup when that is due.
    fn back_up(&self, service: &Arc<Service>, running: Option<Upkeep>) -> Option<Upkeep> {
        // Whoever sets the schedule anew after one has failed does not wait.
        let set_anew = |begun: &Instant| service.backups_were_scheduled_within(begun.elapsed());
        let running = running.filter(|(begun, work)| !work.is_finished() || !set_anew(begun));
        self.beside(service, running, Service::backup_is_due, |service, tell| {
            if let Some(ended) = service.scheduled_backup().transpose() {
                tell(Told::BackedUp(Box::new(ended)));
            }
        })
    }

    /// Begins work that is due beside all else: a cycle does not wait for it. One at a time, and not at once again after
    /// it has failed.
    fn beside(
        &self,
        service: &Arc<Service>,
        running: Option<Upkeep>,
        is_due: fn(&Service) -> Result<bool, ServiceError>,
        work: fn(&Service, &(dyn Fn(Told) + Send + Sync)),
    ) -> Option<Upkeep> {
        let running = running.filter(|(begun, work)| !work.is_finished() || begun.elapsed() < UPKEEP_RETRY);
        // What cannot be read is said by whoever reads next.
        if running.is_some() || !is_due(service).unwrap_or(false) {
            return running;
        }
        let (service, tell) = (service.clone(), self.tell.clone());
        Some((Instant::now(), tokio::task::spawn_blocking(move || work(&service, &*tell))))
    }

    /// Keeps the lease while this server is the active one of a database that others may work with.
    fn keep(&self, open: &Arc<Service>, active: &mut Option<Kept>) -> Result<(), ServiceError> {
        let row = open.own_row(LEASE)?.filter(|_| open.is_shared());
        let Some(row) = row else {
            *active = None;
            return Ok(());
        };
        let same = |kept: &Kept| kept.row == row && kept.named.as_ref() == open.named();
        if !active.as_ref().is_some_and(same) {
            let (named, store) = (open.named().cloned(), open.store().clone());
            match Keeper::start(store, row.clone(), RENEW) {
                Ok(keeper) => *active = Some(Kept { named, row, _keeper: keeper }),
                // Tried again with the next look.
                Err(error) => tracing::warn!("the lease cannot be kept: {error}"),
            }
        }
        Ok(())
    }

    /// What passes by itself is waited for; what does not ends the daemon.
    fn trouble(&self, beat: &Beat, error: ServiceError) -> Result<Duration, ServiceError> {
        if matches!(error, ServiceError::Stopped { .. }) {
            return Err(error);
        }
        let what = format!("waits: {error}");
        if beat.lock().unwrap_or_else(PoisonError::into_inner).doing != what {
            // Whether the database takes it is what is in doubt.
            let folder = self.home.folder().display().to_string();
            events::tell(&events::row(
                self.clock.now(),
                &events::SERVICE_TROUBLE,
                &folder,
                &error.to_string(),
            ));
        }
        self.doing(beat, what);
        (self.tell)(Told::Trouble(error));
        Ok(RETRY)
    }

    /// Runs one cycle.
    async fn cycle(&mut self, service: &Arc<Service>, beat: &Beat) -> Result<(), ServiceError> {
        let before = service.last_cycle()?;
        let (handle, own, steps) = (tokio::runtime::Handle::current(), service.clone(), beat.clone());
        // On a thread of its own: a sync keeps its thread busy, and a wish to stop must be heard meanwhile.
        let mut work = tokio::task::spawn_blocking(move || {
            handle.block_on(own.scheduled_cycle(&|progress| note(&steps, progress)))
        });
        let joined = tokio::select! {
            joined = &mut work => joined,
            why = asked(&mut self.stop) => {
                self.doing(beat, format!("stops: {why}"));
                service.stopper().stop(&why);
                match tokio::time::timeout(STOP, work).await {
                    Ok(joined) => joined,
                    Err(_) => {
                        return Err(ServiceError::Stopped {
                            why: format!("{why}; the cycle did not come to its end within {} s and is cut off", STOP.as_secs()),
                        });
                    }
                }
            }
        };
        beat.lock().unwrap_or_else(PoisonError::into_inner).step = None;
        let ended = match joined {
            Ok(ended) => ended,
            // A bug: noted as any other failure, so that it is not taken for one that was cut off.
            Err(error) => {
                let failed = ServiceError::Internal(error.to_string());
                if let Some(last) = service.last_cycle()?.filter(|last| last.ended.is_none()) {
                    service.note_failure(last, &failed)?;
                }
                Err(failed)
            }
        };
        match ended {
            // Somebody else was faster, or the database failed: not at once again.
            Err(error) if !matches!(service.last_cycle(), Ok(last) if last != before && is_ended(&last)) => {
                return Err(error);
            }
            Ok(None) => {} // switched off at the last moment
            Ok(Some(report)) => (self.tell)(Told::Cycle(Box::new(Ok(report)))),
            Err(error) => (self.tell)(Told::Cycle(Box::new(Err(error)))),
        }
        Ok(())
    }

    fn doing(&self, beat: &Beat, what: String) {
        let mut heart = beat.lock().unwrap_or_else(PoisonError::into_inner);
        if heart.doing != what {
            heart.doing.clone_from(&what);
            drop(heart);
            (self.tell)(Told::Doing(what));
        }
    }
}

/// What is next. The installation is opened anew when another configuration is applied, and for each cycle: secrets and
/// the key set may have changed, too.
async fn look(
    home: Home,
    clock: Arc<dyn Clock>,
    threads: usize,
    open: Option<Arc<Service>>,
) -> Result<Looked, ServiceError> {
    let (open, fresh) = match open {
        Some(open) if !open.is_outdated()? => (open, false),
        _ => (Arc::new(Service::open(home.clone(), clock.clone(), threads).await?), true),
    };
    if open.must_be_active().is_err() {
        let (next, lacks) = match open.watch()? {
            Watch::TookOver(epoch) => (Next::Again(epoch), None),
            Watch::Wait { what, at_most, lacks } => (Next::Wait(what, at_most), lacks),
        };
        return Ok(Looked { open, next, lacks });
    }
    let wait = |what: &str| Next::Wait(what.to_owned(), LOOK);
    let next = match open.due()? {
        Due::Off => wait("idle, the scheduler is off"),
        Due::Never => wait("idle, no configuration that can be used is applied"),
        Due::At(due) if due > open.now() => {
            let words = format!("idle, next cycle at {}", Time::from_seconds(due.seconds()));
            Next::Wait(words, LOOK.min(until(open.now(), due)))
        }
        Due::At(_) if open.is_worked_on() => wait("a cycle is due: waits for another process that works"),
        Due::At(_) if fresh => Next::Now,
        Due::At(_) => {
            let open = Arc::new(Service::open(home, clock, threads).await?);
            return Ok(Looked { open, next: Next::Now, lacks: None });
        }
    };
    Ok(Looked { open, next, lacks: None })
}

/// Waits until it is asked to end. When nobody can ask any more, nobody does.
async fn asked(stop: &mut watch::Receiver<Option<String>>) -> String {
    match stop.wait_for(Option::is_some).await.map(|why| why.clone()) {
        Ok(why) => why.unwrap_or_default(),
        Err(_) => std::future::pending().await,
    }
}

/// Whether it is noted how a cycle ended.
fn is_ended(last: &Option<LastCycle>) -> bool {
    last.as_ref().is_some_and(|last| last.ended.is_some())
}

fn until(now: Time, due: Time) -> Duration {
    let ticks = u64::try_from(due.ticks().saturating_sub(now.ticks())).unwrap_or_default();
    Duration::from_nanos(ticks.saturating_mul(100))
}

fn note(beat: &Beat, progress: Progress) {
    let mut heart = beat.lock().unwrap_or_else(PoisonError::into_inner);
    match progress {
        Progress::Begin { connector, step } => {
            heart.step = Some(StepUnderWay { connector, step: step.as_str().to_owned(), done: 0, of: None });
        }
        Progress::At { done, of } => {
            if let Some(step) = &mut heart.step {
                (step.done, step.of) = (done, of);
            }
        }
        Progress::End { .. } => heart.step = None,
    }
}

/// The socket, served until it is dropped.
struct Socket {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Socket {
    /// Opens it; one that a killed daemon left is replaced, since its lock is free.
    fn open(folder: &Path, beat: Beat) -> Result<Self, ServiceError> {
        let path = folder.join(SOCKET);
        let failed = |source| ServiceError::File { place: path.display().to_string(), source };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => ServiceError::usage(
                format!("{} is too long for a socket: the system takes 107 bytes", path.display()),
                "serve a home with a shorter path",
            ),
            _ => failed(error),
        })?;
        // The home is its owner's only; this holds even where somebody opened it.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let task = tokio::spawn(async move {
            loop {
                let Ok((mut client, _)) = listener.accept().await else {
                    tokio::time::sleep(LOOK).await; // no more files, perhaps: it passes
                    continue;
                };
                let text = serde_json::to_string(&*beat.lock().unwrap_or_else(PoisonError::into_inner));
                let Ok(text) = text else { continue };
                // Whoever asks and does not listen is not waited for.
                let _ = tokio::time::timeout(ANSWER, client.write_all(text.as_bytes())).await;
            }
        });
        Ok(Self { path, task })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!("`{}` could not be removed: {error}", self.path.display());
        }
    }
}
