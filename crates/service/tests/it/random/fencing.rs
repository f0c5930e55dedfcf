//! Two servers and one installation, in simulation: the old one is stopped or killed at any point of its cycle, the new one
//! takes its place, and the old one goes on in the middle of what the new one does. Once on a database that both share,
//! once with a copy of its own in each, where only the marker at the target is between them.
//!
//! What must hold: in the database never a write of an older epoch after a newer one was taken; at the target at most one
//! request for each export worker of the old epoch after the first of the new one; the new server reads before it writes,
//! and in the end the target is what the rules say.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
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
    Clock, ConnectorFile, CycleKind, Home, Keys, Parts, Service, ServiceError, Sizes, Standing, Status,
};
use onesync_store::{
    InstallationRow, Lease, MemoryStore, Retention, ServerRow, ServiceChanges, Store, StoreError, StoreReader,
};
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::acts::{Act, Play, perform, play};
use super::house::{BEGIN, Directories, configuration};
use super::{ROUNDS, assert_same, check, picture};

/// Export workers of a connector here.
const WORKERS: usize = 2;
/// Longer than any lease.
const LONG: Duration = Duration::from_secs(600);
const INSTALLATION: &str = "house";

/// The time that passes for all, whatever the clocks say.
#[derive(Default)]
struct World {
    milliseconds: AtomicU64,
    stores: Mutex<Vec<Arc<MemoryStore>>>,
    /// What was done at the target, in its order.
    target: Mutex<Vec<(u64, Did)>>,
    /// What was written into databases, in its order: the epoch of the writer, and that of the database.
    written: Mutex<Vec<(u64, u64)>>,
}

/// What a server did at the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Did {
    Read,
    Marked,
    Wrote,
}

impl World {
    fn now(&self) -> Time {
        Time::from_ticks(Time::from_seconds(BEGIN).ticks() + self.milliseconds.load(SeqCst) as i64 * 10_000)
    }

    fn pass(&self, time: Duration) {
        self.milliseconds.fetch_add(time.as_millis() as u64, SeqCst);
        self.stores.lock().unwrap().iter().for_each(|store| store.set_clock(self.now()));
    }
}

/// The clock of one machine: it may be wrong, but it goes on as time does.
struct MachineClock {
    world: Arc<World>,
    wrong_by: i64,
}

impl Clock for MachineClock {
    fn now(&self) -> Time {
        self.world.now().plus_seconds(self.wrong_by)
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.world.milliseconds.load(SeqCst))
    }

    fn wait(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.world.pass(time);
        Box::pin(std::future::ready(()))
    }
}

/// Where a process may be stopped: at one of the points that it comes to.
#[derive(Default)]
struct Gate {
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
    fn close_after(&self, points: u64, kills: bool) {
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

    fn is_stopped(&self) -> bool {
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
}

impl Target {
    fn point(&self) -> Result<(), ConnectorError> {
        self.gate.point().map_err(|()| dead())
    }

    fn did(&self, epoch: u64, what: Did) {
        self.world.target.lock().unwrap().push((epoch, what));
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
}

/// A machine with a home, on which the process can be started again and again.
struct Machine {
    home: tempfile::TempDir,
    world: Arc<World>,
    store: Arc<MemoryStore>,
    directories: Directories,
    gate: Arc<Gate>,
    wrong_by: i64,
}

impl Machine {
    /// One whose home names a database on a server; which one that is does not matter here.
    fn new(world: &Arc<World>, store: &Arc<MemoryStore>, directories: &Directories, wrong_by: i64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let named = format!("url = \"postgres://u@h/d\"\ninstallation = \"{INSTALLATION}\"\n");
        std::fs::write(home.path().join("database.toml"), named).unwrap();
        let (world, store, directories) = (world.clone(), store.clone(), directories.clone());
        Self { home, world, store, directories, gate: Arc::default(), wrong_by }
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    async fn start(&self) -> Service {
        let epoch = self.store.lease().unwrap().epoch;
        let (directories, world, gate) = (self.directories.clone(), self.world.clone(), self.gate.clone());
        let kinds = move |file: &ConnectorFile, selection: &Selection| -> Option<Arc<dyn Connector>> {
            let (name, directory): (_, &MemoryDirectory) =
                directories.all().into_iter().find(|(name, _)| *name == file.name)?;
            let connector = directory.connector(selection.clone());
            Some(match name {
                "cloud" => Arc::new(Target { connector, world: world.clone(), gate: gate.clone(), epoch }),
                _ => Arc::new(connector),
            })
        };
        let (store, world, gate) = (self.store.clone(), self.world.clone(), self.gate.clone());
        let parts = Parts {
            store: Arc::new(Seen { store, world, gate }),
            keys: Keys::None("no secrets here".to_owned()),
            clock: Arc::new(MachineClock { world: self.world.clone(), wrong_by: self.wrong_by }),
            paths_from: self.home().to_owned(),
            threads: 1,
            sizes: Sizes { page: 7, batch: 5, links: 6 },
            kinds: Some(Box::new(kinds)),
        };
        Service::assemble(Home::new(self.home()), parts).await.unwrap()
    }

    /// Runs a cycle in a thread of its own, which stops or dies after so many points; gives the thread when it has stopped,
    /// died or ended.
    fn begin_cycle(&self, service: &Arc<Service>, points: u64, kills: bool) -> Cycle {
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
    fn end_cycle(&self, cycle: Cycle) -> Result<(), ServiceError> {
        self.gate.open();
        cycle.join().unwrap()
    }
}

type Cycle = std::thread::JoinHandle<Result<(), ServiceError>>;

/// What differs between the stories.
#[derive(Clone, Debug)]
struct Story {
    play: Play,
    /// What changes after the new server took over.
    more: Vec<Act>,
    /// Points that the old server comes to before it is stopped.
    old_points: u64,
    /// Whether it is killed, and started again later.
    killed: bool,
    /// Points that the new one comes to before the old one goes on.
    new_points: u64,
    /// How wrong the clock of the old and the new machine is, in hours.
    wrong_by: (i64, i64),
    /// Whether each has a database of its own, the new one a restored copy.
    apart: bool,
}

fn story() -> impl Strategy<Value = Story> {
    let more = play(12, 0).prop_map(|play| play.first);
    let clocks = (-1i64..=1, -1i64..=1);
    (play(25, 1), more, 0u64..160, any::<bool>(), 0u64..160, clocks, any::<bool>()).prop_map(
        |(play, more, old_points, killed, new_points, wrong_by, apart)| Story {
            play,
            more,
            old_points,
            killed,
            new_points,
            wrong_by,
            apart,
        },
    )
}

async fn tell(story: &Story) {
    let directories = Directories::new();
    directories.cloud.set_capabilities(|c| c.marker = true);
    perform(&directories, &story.play.first);
    let world = Arc::new(World::default());
    let store = Arc::new(MemoryStore::new());
    let created = Time::from_seconds(BEGIN);
    store
        .install(&InstallationRow { id: INSTALLATION.to_owned(), epoch: 1, staging: false, created })
        .unwrap();
    world.stores.lock().unwrap().push(store.clone());
    world.pass(Duration::from_secs(1));

    // The old server works, and owes something.
    let old = Machine::new(&world, &store, &directories, story.wrong_by.0 * 3_600);
    let service = old.start().await;
    service.apply(configuration(), "test").await.unwrap();
    service.run_step("cloud", onesync_service::Step::FullImport, &|_| ()).await.unwrap();
    {
        let runtime = service.runtime().unwrap();
        let cloud = runtime.connector("cloud").unwrap();
        let plan = service.staging_plan(&runtime, cloud).unwrap();
        service.staging_off(&runtime, cloud, &plan.hash).unwrap();
    }
    if story.old_points.is_multiple_of(2) {
        service.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
    }
    for acts in &story.play.rounds {
        perform(&directories, acts);
    }
    let copy = Arc::new(store.fork());
    let service = Arc::new(service);
    let cycle = old.begin_cycle(&service, story.old_points, story.killed);
    world.pass(LONG);

    // The new one takes its place: in the same database, or in the copy that was made before.
    let new = match story.apart {
        true => {
            world.stores.lock().unwrap().push(copy.clone());
            Machine::new(&world, &copy, &directories, story.wrong_by.1 * 3_600)
        }
        false => Machine::new(&world, &store, &directories, story.wrong_by.1 * 3_600),
    };
    let joined = new.start().await;
    assert!(matches!(joined.standing(), Standing::Joined { .. }), "{:?}", joined.standing());
    let refused = joined.cycle(CycleKind::Delta, &|_| ()).await.unwrap_err();
    assert_eq!(refused.status(), Status::Held, "{refused}");
    let taken = joined.take_over(story.apart.then_some("copy")).unwrap();
    assert_eq!(taken, 2);
    drop(joined);
    let successor = Arc::new(new.start().await);
    assert_eq!(
        *successor.standing(),
        Standing::Active { server: successor.standing().server().to_owned(), epoch: 2 }
    );
    perform(&directories, &story.more);
    if story.apart {
        let runtime = successor.runtime().unwrap();
        successor.take_marker(runtime.connector("cloud").unwrap()).await.unwrap();
    }
    let successors = new.begin_cycle(&successor, story.new_points, false);

    // The old one goes on, in the middle of that; what it says of it does not matter, what it did does.
    let _ = old.end_cycle(cycle);
    let again = old.begin_cycle(&service, u64::MAX, false);
    let said = old.end_cycle(again);
    if !story.apart {
        assert!(said.is_err(), "it went on as if nothing had happened");
    }
    drop(service);
    let back = old.start().await;
    match story.apart {
        // Its own database knows nothing: its first export is refused, or it has none.
        true => drop(back.cycle(CycleKind::Delta, &|_| ()).await),
        false => {
            assert!(matches!(back.standing(), Standing::Replaced { .. }), "{:?}", back.standing());
            let refused = back.cycle(CycleKind::Delta, &|_| ()).await.unwrap_err();
            assert_eq!(refused.status(), Status::Held, "{refused}");
        }
    }
    new.end_cycle(successors).unwrap();
    judge(&world, story.apart);

    // What the old one sent last is seen and repaired.
    let store = if story.apart { copy } else { store };
    let mut before = String::new();
    for _ in 0..=ROUNDS + 1 {
        world.pass(LONG * 6);
        successor.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
        let now = picture::draw(&successor, &*store);
        if now == before {
            break;
        }
        before = now;
    }
    assert_eq!(successor.verify().unwrap(), Vec::<String>::new());
    let mark = world.target.lock().unwrap().len();
    successor.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
    assert_same(&before, &picture::draw(&successor, &*store), "still changing");
    let wrote = world.target.lock().unwrap()[mark..].iter().filter(|(_, did)| *did == Did::Wrote).count();
    assert_eq!(wrote, 0, "the target is not what the rules say");
}

fn judge(world: &World, apart: bool) {
    for &(ours, theirs) in world.written.lock().unwrap().iter().filter(|_| !apart) {
        assert_eq!(ours, theirs, "a write of epoch {ours} in a database at epoch {theirs}");
    }
    let target = world.target.lock().unwrap().clone();
    let first = target.iter().position(|(epoch, did)| *epoch == 2 && *did != Did::Read);
    let after = first.map_or(&[][..], |first| &target[first..]);
    let old = after.iter().filter(|(epoch, did)| *epoch == 1 && *did != Did::Read).count();
    assert!(old <= WORKERS, "{old} requests of the old epoch: {target:?}");
    let wrote = target.iter().position(|event| *event == (2, Did::Wrote)).unwrap_or(target.len());
    let read = target.iter().position(|event| *event == (2, Did::Read)).unwrap_or(target.len());
    assert!(read <= wrote, "it wrote before it had read: {target:?}");
}

#[test]
fn an_old_server_that_comes_back_writes_nothing() {
    check(60, story(), async |story| tell(&story).await);
}
