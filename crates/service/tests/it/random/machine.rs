//! Machines on which a server runs and may be stopped, killed or copied at any point: the time that passes for all of them, the
//! databases and the target as each of them sees it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use onesync_connectors::memory::{MemoryConnector, MemoryDirectory};
use onesync_connectors::{
    Anchor, Capabilities, Connector, ConnectorError, CreateKey, DiscoveredSchema, ErrorClass, ExportBatch,
    ExportResult, ImportEnd, ImportPage, ImportRequest, Marker, Pass, Selection, TestReport, TypeRoles,
};
use onesync_engine::Changes;
use onesync_model::Time;
use onesync_service::{
    Clock, ConnectorFile, CycleKind, Home, Keys, Parts, Service, ServiceError, Sizes, Step,
};
use onesync_store::{
    InstallationRow, Lease, MemoryStore, Retention, ServerRow, ServiceChanges, Store, StoreError, StoreReader,
};
use tokio::sync::mpsc;

use super::acts::{Act, perform};
use super::house::{BEGIN, Directories, configuration};

/// Export workers of a connector here.
pub(super) const WORKERS: usize = 2;
/// Longer than any lease.
pub(super) const LONG: Duration = Duration::from_secs(600);
const INSTALLATION: &str = "house";

/// The time that passes for all, whatever the clocks say.
#[derive(Default)]
pub(super) struct World {
    milliseconds: AtomicU64,
    pub(super) stores: Mutex<Vec<Arc<MemoryStore>>>,
    /// What was done at the target, in its order: the epoch of the server, or its number among copies.
    pub(super) target: Mutex<Vec<(u64, Did)>>,
    /// What was written into databases, in its order: the epoch of the writer, and that of the database.
    pub(super) written: Mutex<Vec<(u64, u64)>>,
}

/// What a server did at the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Did {
    Read,
    Marked,
    Wrote,
}

impl World {
    fn now(&self) -> Time {
        Time::from_ticks(Time::from_seconds(BEGIN).ticks() + self.milliseconds.load(SeqCst) as i64 * 10_000)
    }

    pub(super) fn pass(&self, time: Duration) {
        self.milliseconds.fetch_add(time.as_millis() as u64, SeqCst);
        self.stores.lock().unwrap().iter().for_each(|store| store.set_clock(self.now()));
    }
}

/// The clock of one machine: it may be wrong, but it goes on as time does.
struct MachineClock {
    world: Arc<World>,
    wrong_by: i64,
    boot: String,
}

impl Clock for MachineClock {
    fn now(&self) -> Time {
        self.world.now().plus_seconds(self.wrong_by)
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.world.milliseconds.load(SeqCst))
    }

    fn boot(&self) -> String {
        self.boot.clone()
    }

    fn wait(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.world.pass(time);
        Box::pin(std::future::ready(()))
    }
}

/// Where a process may be stopped: at one of the points that it comes to.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    left: Option<u64>,
    kills: bool,
    stopped: bool,
    dead: bool,
}

impl Gate {
    /// After so many points the process stops, or dies.
    pub(super) fn close_after(&self, points: u64, kills: bool) {
        let mut state = self.state.lock().unwrap();
        *state = GateState { left: Some(points), kills, ..GateState::default() };
    }

    fn open(&self) {
        let mut state = self.state.lock().unwrap();
        (state.left, state.stopped) = (None, false);
        self.changed.notify_all();
    }

    /// A point of the process; an error when it is dead.
    fn point(&self) -> Result<(), ()> {
        let mut state = self.state.lock().unwrap();
        state.left = match state.left {
            Some(0) if state.kills => {
                state.dead = true;
                None
            }
            Some(0) => {
                state.stopped = true;
                self.changed.notify_all();
                while state.stopped {
                    state = self.changed.wait(state).unwrap();
                }
                None
            }
            left => left.map(|left| left - 1),
        };
        if state.dead { Err(()) } else { Ok(()) }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().unwrap().stopped
    }
}

fn dead() -> ConnectorError {
    ConnectorError::new(ErrorClass::Fatal, "DEAD", "process", "it does not run any more")
}

/// The database as one process sees it.
struct Seen {
    store: Arc<MemoryStore>,
    world: Arc<World>,
    gate: Arc<Gate>,
}

impl Seen {
    fn point(&self) -> Result<(), StoreError> {
        self.gate.point().map_err(|()| StoreError::NotInstalled)
    }

    /// Writes, and notes it together with the epoch of the database then.
    fn noted<T>(&self, epoch: u64, write: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.point()?;
        let done = {
            let mut written = self.world.written.lock().unwrap();
            let done = write()?;
            written.push((epoch, self.store.lease()?.epoch));
            done
        };
        self.point()?;
        Ok(done)
    }
}

impl Store for Seen {
    fn reader(&self) -> Result<Box<dyn StoreReader + '_>, StoreError> {
        self.store.reader()
    }

    fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Result<(), StoreError> {
        self.noted(epoch, || self.store.write(epoch, changes, service))
    }

    fn install(&self, installation: &InstallationRow) -> Result<(), StoreError> {
        self.store.install(installation)
    }

    fn take_epoch(&self, seen: u64) -> Result<u64, StoreError> {
        self.noted(seen + 1, || self.store.take_epoch(seen))
    }

    fn take_over(
        &self,
        seen: u64,
        server: &ServerRow,
        installation: Option<&str>,
    ) -> Result<u64, StoreError> {
        self.noted(seen + 1, || self.store.take_over(seen, server, installation))
    }

    fn enrol(&self, server: &ServerRow) -> Result<(), StoreError> {
        self.store.enrol(server)
    }

    fn renew(&self, server: &ServerRow) -> Result<Lease, StoreError> {
        self.store.renew(server)
    }

    fn lease(&self) -> Result<Lease, StoreError> {
        self.point()?;
        let lease = self.store.lease();
        self.point()?;
        lease
    }

    fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        self.noted(epoch, || self.store.trim(epoch, retention, limit))
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.store.checkpoint()
    }
}

/// The target as one process sees it: several workers send one request after the other.
struct Target {
    connector: MemoryConnector,
    world: Arc<World>,
    gate: Arc<Gate>,
    /// The epoch under which it reads, for the log.
    epoch: u64,
    /// Its number among copies.
    number: Option<u64>,
}

impl Target {
    fn point(&self) -> Result<(), ConnectorError> {
        self.gate.point().map_err(|()| dead())
    }

    fn did(&self, epoch: u64, what: Did) {
        self.world.target.lock().unwrap().push((self.number.unwrap_or(epoch), what));
    }

    async fn work(
        &self,
        batch: &ExportBatch,
        number: usize,
    ) -> Vec<(usize, Result<ExportResult, ConnectorError>)> {
        let mut out = Vec::new();
        for (at, item) in batch.items.iter().enumerate().filter(|(at, _)| at % WORKERS == number) {
            let sent = async {
                self.point()?;
                batch.pass.check().await?;
                // The others are as far, too, when the process is stopped here.
                tokio::task::yield_now().await;
                self.point()?;
                self.did(batch.pass.epoch, Did::Wrote);
                let one =
                    ExportBatch { items: vec![item.clone()], pass: Pass::unchecked(0), seed: batch.seed };
                let mut results = self.connector.export(one).await?;
                self.point()?;
                results.pop().ok_or_else(dead)
            };
            out.push((at, sent.await));
        }
        out
    }
}

#[async_trait]
impl Connector for Target {
    fn kind(&self) -> &'static str {
        self.connector.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.connector.capabilities()
    }

    fn type_roles(&self) -> Vec<TypeRoles> {
        self.connector.type_roles()
    }

    async fn test(&self) -> Result<TestReport, ConnectorError> {
        self.connector.test().await
    }

    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError> {
        self.connector.schema().await
    }

    async fn import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        self.point()?;
        let end = self.connector.import(request, pages).await?;
        self.did(self.epoch, Did::Read);
        self.point()?;
        Ok(end)
    }

    async fn export(&self, batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        let (one, other) = tokio::join!(self.work(&batch, 0), self.work(&batch, 1));
        let results: BTreeMap<usize, _> = one.into_iter().chain(other).collect();
        results.into_values().collect()
    }

    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        self.connector.find_created(keys).await
    }

    async fn marker(&self) -> Result<Option<Marker>, ConnectorError> {
        self.point()?;
        let marker = self.connector.marker().await;
        self.point()?;
        marker
    }

    async fn set_marker(&self, marker: &Marker) -> Result<(), ConnectorError> {
        self.point()?;
        self.did(marker.epoch, Did::Marked);
        self.connector.set_marker(marker).await?;
        self.point()
    }

    async fn set_session(&self, marker: &Marker) -> Result<(), ConnectorError> {
        self.point()?;
        self.did(marker.epoch, Did::Marked);
        self.connector.set_session(marker).await?;
        self.point()
    }
}

/// A machine with a home, on which the process can be started again and again.
pub(super) struct Machine {
    home: tempfile::TempDir,
    world: Arc<World>,
    pub(super) store: Arc<MemoryStore>,
    directories: Directories,
    pub(super) gate: Arc<Gate>,
    wrong_by: i64,
    /// Its number among copies, where it has any.
    number: Option<u64>,
    boots: AtomicU64,
}

impl Machine {
    /// One whose home names a database on a server; which one that is does not matter here.
    pub(super) fn new(
        world: &Arc<World>,
        store: &Arc<MemoryStore>,
        directories: &Directories,
        wrong_by: i64,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let named = format!("url = \"postgres://u@h/d\"\ninstallation = \"{INSTALLATION}\"\n");
        std::fs::write(home.path().join("database.toml"), named).unwrap();
        let (world, store, directories) = (world.clone(), store.clone(), directories.clone());
        let boots = AtomicU64::new(BOOTS.fetch_add(1, SeqCst));
        Self { home, world, store, directories, gate: Arc::default(), wrong_by, number: None, boots }
    }

    pub(super) fn numbered(self, number: u64) -> Self {
        Self { number: Some(number), ..self }
    }

    /// What its disk holds now.
    pub(super) fn image(&self) -> Image {
        let files = std::fs::read_dir(self.home()).unwrap().map(|file| file.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "toml"));
        let read = |path: PathBuf| (path.file_name().unwrap().to_owned(), std::fs::read(&path).unwrap());
        Image { store: Arc::new(self.store.fork()), files: files.map(read).collect() }
    }

    /// A machine that is started with such a disk.
    pub(super) fn booted(&self, image: &Image, number: u64) -> Self {
        let store = Arc::new(image.store.fork());
        self.world.stores.lock().unwrap().push(store.clone());
        let copy = Self::new(&self.world, &store, &self.directories, self.wrong_by).numbered(number);
        image.files.iter().for_each(|(name, bytes)| std::fs::write(copy.home().join(name), bytes).unwrap());
        copy
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    pub(super) async fn start(&self) -> Service {
        let epoch = self.store.lease().unwrap().epoch;
        let (directories, world, gate) = (self.directories.clone(), self.world.clone(), self.gate.clone());
        let number = self.number;
        let kinds = move |file: &ConnectorFile, selection: &Selection| -> Option<Arc<dyn Connector>> {
            let (name, directory): (_, &MemoryDirectory) =
                directories.all().into_iter().find(|(name, _)| *name == file.name)?;
            let connector = directory.connector(selection.clone());
            Some(match name {
                "cloud" => {
                    let (world, gate) = (world.clone(), gate.clone());
                    Arc::new(Target { connector, world, gate, epoch, number })
                }
                _ => Arc::new(connector),
            })
        };
        let (store, world, gate) = (self.store.clone(), self.world.clone(), self.gate.clone());
        let boot = self.boots.load(SeqCst).to_string();
        let parts = Parts {
            store: Arc::new(Seen { store, world, gate }),
            keys: Keys::None("no secrets here".to_owned()),
            clock: Arc::new(MachineClock { world: self.world.clone(), wrong_by: self.wrong_by, boot }),
            paths_from: self.home().to_owned(),
            threads: 1,
            sizes: Sizes { page: 7, batch: 5, links: 6 },
            kinds: Some(Box::new(kinds)),
        };
        Service::assemble(Home::new(self.home()), parts).await.unwrap()
    }

    /// Runs a cycle in a thread of its own, which stops or dies after so many points; gives the thread when it has stopped,
    /// died or ended.
    pub(super) fn begin_cycle(&self, service: &Arc<Service>, points: u64, kills: bool) -> Cycle {
        self.gate.close_after(points, kills);
        let service = service.clone();
        let cycle = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let ended = runtime.unwrap().block_on(service.cycle(CycleKind::Delta, &|_| ()));
            ended.map(|_| ())
        });
        while !cycle.is_finished() && !self.gate.is_stopped() {
            std::thread::sleep(Duration::from_micros(200));
        }
        cycle
    }

    /// It goes on, to the end of its cycle.
    pub(super) fn end_cycle(&self, cycle: Cycle) -> Result<(), ServiceError> {
        self.gate.open();
        cycle.join().unwrap()
    }
}

/// What a disk held at one time.
pub(super) struct Image {
    store: Arc<MemoryStore>,
    files: Vec<(OsString, Vec<u8>)>,
}

/// Starts of machines so far.
static BOOTS: AtomicU64 = AtomicU64::new(0);

pub(super) type Cycle = std::thread::JoinHandle<Result<(), ServiceError>>;

/// A world with one server, out of staging.
pub(super) async fn founded(
    first: &[Act],
    wrong_by: i64,
    number: Option<u64>,
) -> (Directories, Arc<World>, Machine, Service) {
    let directories = Directories::new();
    directories.cloud.set_capabilities(|c| c.marker = true);
    perform(&directories, first);
    let world = Arc::new(World::default());
    world.pass(Duration::from_secs(1));
    let (machine, service) = installed(&world, &directories, INSTALLATION, wrong_by, number).await;
    (directories, world, machine, service)
}

/// A server with an installation of its own, out of staging.
pub(super) async fn installed(
    world: &Arc<World>,
    directories: &Directories,
    installation: &str,
    wrong_by: i64,
    number: Option<u64>,
) -> (Machine, Service) {
    let store = Arc::new(MemoryStore::new());
    let created = Time::from_seconds(BEGIN);
    store
        .install(&InstallationRow { id: installation.to_owned(), epoch: 1, staging: false, created })
        .unwrap();
    store.set_clock(world.now());
    world.stores.lock().unwrap().push(store.clone());
    let machine = Machine { number, ..Machine::new(world, &store, directories, wrong_by) };
    let named = format!("url = \"postgres://u@h/d\"\ninstallation = \"{installation}\"\n");
    std::fs::write(machine.home().join("database.toml"), named).unwrap();
    let service = machine.start().await;
    service.apply(configuration(), "test").await.unwrap();
    for step in [Step::FullImport, Step::DeltaSync] {
        service.run_step("cloud", step, &|_| ()).await.unwrap();
    }
    {
        let runtime = service.runtime().unwrap();
        let cloud = runtime.connector("cloud").unwrap();
        let plan = service.staging_plan(&runtime, cloud).unwrap();
        service.staging_off(&runtime, cloud, &plan.hash).unwrap();
    }
    (machine, service)
}
