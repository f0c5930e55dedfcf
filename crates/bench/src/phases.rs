//! The phases: each runs in a process of its own, so that peak memory and processor time are its own.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use onesync_connectors::Anchor;
use onesync_engine::Changes;
use onesync_model::{ConnectorId, CsId};
use onesync_service::{
    ConnectorHandle, CycleKind, DatabaseServer, Progress, RunReport, Runtime, Service, Step,
};
use onesync_store::limit;
use serde::{Deserialize, Serialize};

use crate::lab::{self, CLOUD, Lab, SOURCE};
use crate::measure::{Watch, peak_mb};
use crate::scripted::Scripted;
use crate::server;

/// Idle cycles over which the mean is taken: processor time is known to a hundredth of a second.
const IDLE_CYCLES: u32 = 20;
/// Cycles after which everything must be in the cloud.
const EXPORT_CYCLES_MAX: usize = 6;

/// What one phase measured.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Objects handled.
    pub count: u64,
    /// How long it took.
    pub seconds: f64,
    /// Processor time of our process.
    pub cpu_seconds: f64,
    /// The most memory the process held.
    pub peak_mb: f64,
    /// Link values handled, where the phase counts them.
    pub links: u64,
    /// Rows and transactions written (limits only).
    pub rows: u64,
    /// See `rows`.
    pub transactions: u64,
}

/// A phase by name.
pub async fn run(lab: &Lab, phase: &str) -> Result<Measured> {
    let mut measured = match phase {
        "import" => step(lab, SOURCE, Step::FullImport).await?,
        "import-cloud" => step(lab, CLOUD, Step::FullImport).await?,
        "first-sync" | "full-sync" => step(lab, SOURCE, Step::FullSync).await?,
        "full-sync-cloud" => step(lab, CLOUD, Step::FullSync).await?,
        "limit-import" => limit(&lab.file("imported.db"), &lab.file("limit-import.db"), limit::import)?,
        "limit-first-sync" => {
            limit(&lab.file("synced.db"), &lab.file("limit-first-sync.db"), limit::first_sync)?
        }
        "limit-copy-import" => server::limit(lab, &server::IMPORT)?,
        "limit-copy-sync" => server::limit(lab, &server::SYNC)?,
        "search" => search(lab).await?,
        "move" => server::move_there(lab)?,
        "export" => export(lab).await?,
        "idle" => idle(lab).await?,
        "idle-directory" => idle_directory(lab).await?,
        "member" => member(lab).await?,
        other => bail!("there is no phase `{other}`"),
    };
    measured.peak_mb = peak_mb();
    Ok(measured)
}

async fn step(lab: &Lab, connector: &str, step: Step) -> Result<Measured> {
    let service = lab.open().await?;
    let watch = Watch::start();
    let report = service.run_step(connector, step, &|_| ()).await?;
    let (seconds, cpu_seconds) = watch.read();
    let c = &report.counters;
    let imported = c.add + c.update + c.unchanged;
    let count = match step {
        // What the agenda brings on top is not counted: objects are.
        Step::FullSync | Step::DeltaSync => objects(lab, &service, connector)?,
        _ => imported,
    };
    Ok(Measured { count, seconds, cpu_seconds, ..Measured::default() })
}

/// Objects in a connector space.
fn objects(lab: &Lab, service: &Service, connector: &str) -> Result<u64> {
    let id = service.runtime()?.connector(connector)?.id;
    let counts = lab.store()?.reader()?.cs_counts()?;
    Ok(counts.iter().filter(|count| count.connector == id).map(|count| count.count).sum())
}

type Replay = fn(&Path, &Path) -> Result<limit::Limit, onesync_store::StoreError>;

fn limit(done: &Path, to: &Path, replay: Replay) -> Result<Measured> {
    let watch = Watch::start();
    let written = replay(done, to)?;
    Ok(Measured {
        seconds: written.time.as_secs_f64(),
        cpu_seconds: watch.read().1,
        rows: written.rows,
        transactions: written.transactions,
        ..Measured::default()
    })
}

async fn export(lab: &Lab) -> Result<Measured> {
    let service = lab.open().await?;
    let runtime = service.runtime()?;
    let cloud = runtime.connector(CLOUD)?;
    service.run_step(CLOUD, Step::FullSync, &|_| ()).await?; // of the empty cloud: a plan is computed as a whole
    let plan = service.staging_plan(&runtime, cloud)?;
    service.staging_off(&runtime, cloud, &plan.hash)?;
    let source = scripted(&runtime)?.0;
    take_over(lab, &source)?;
    let watch = Watch::start();
    let mut out = Measured::default();
    for _ in 0..EXPORT_CYCLES_MAX {
        let report = delta(&service, &runtime, &source, cloud).await?;
        let Some(exported) = report else {
            (out.seconds, out.cpu_seconds) = watch.read();
            return Ok(out);
        };
        let c = &exported.counters;
        out.count += c.add + c.update + c.delete;
        out.links += c.links;
    }
    bail!("after {EXPORT_CYCLES_MAX} cycles there is still something to export");
}

/// The source as one that tells nothing, or what it is given.
fn scripted(runtime: &Runtime) -> Result<(ConnectorHandle, Arc<Scripted>)> {
    let mut handle = runtime.connector(SOURCE)?.clone();
    let scripted = Arc::new(Scripted::new(&*handle.connector));
    handle.capabilities.delta_import = true;
    handle.connector = scripted.clone();
    Ok((handle, scripted))
}

/// The steps of a delta cycle; the report of the export when something was exported.
async fn delta(
    service: &Service,
    runtime: &Runtime,
    source: &ConnectorHandle,
    cloud: &ConnectorHandle,
) -> Result<Option<RunReport>> {
    let quiet = |_: Progress| ();
    for connector in [source, cloud] {
        service.import(runtime, connector, Step::DeltaImport, &quiet).await?;
    }
    for connector in [source, cloud] {
        tokio::task::block_in_place(|| service.sync(runtime, connector, Step::DeltaSync, &quiet))?;
    }
    let report = service.export(runtime, cloud, &quiet).await?;
    let c = &report.counters;
    Ok((c.add + c.update + c.delete + c.links > 0).then_some(report))
}

/// Gives the source a watermark, as a directory with deltas leaves one: from now on it is asked for deltas.
fn take_over(lab: &Lab, source: &ConnectorHandle) -> Result<()> {
    let store = lab.store()?;
    let installation = store.reader()?.installation()?.context("no installation")?;
    let states = vec![(source.id, "watermark".to_owned(), Some(b"scripted".to_vec()))];
    Ok(store.apply(installation.epoch, &Changes { states, ..Changes::default() })?)
}

async fn idle(lab: &Lab) -> Result<Measured> {
    let service = lab.open().await?;
    let runtime = service.runtime()?;
    let (source, _) = scripted(&runtime)?;
    let cloud = runtime.connector(CLOUD)?;
    take_over(lab, &source)?;
    ensure!(delta(&service, &runtime, &source, cloud).await?.is_none(), "the cycle is not idle");
    let watch = Watch::start();
    for _ in 0..IDLE_CYCLES {
        delta(&service, &runtime, &source, cloud).await?;
    }
    let (seconds, cpu_seconds) = watch.read();
    let cycles = f64::from(IDLE_CYCLES);
    Ok(Measured {
        count: 1,
        seconds: seconds / cycles,
        cpu_seconds: cpu_seconds / cycles,
        ..Measured::default()
    })
}

/// Idle cycles with the real source: for one that has deltas.
async fn idle_directory(lab: &Lab) -> Result<Measured> {
    let service = lab.open().await?;
    service.cycle(CycleKind::Delta, &|_| ()).await?;
    let watch = Watch::start();
    for _ in 0..IDLE_CYCLES {
        service.cycle(CycleKind::Delta, &|_| ()).await?;
    }
    let (seconds, cpu_seconds) = watch.read();
    let cycles = f64::from(IDLE_CYCLES);
    Ok(Measured {
        count: 1,
        seconds: seconds / cycles,
        cpu_seconds: cpu_seconds / cycles,
        ..Measured::default()
    })
}

/// Finds people by the names they sign in with.
async fn search(lab: &Lab) -> Result<Measured> {
    let service = lab.open().await?;
    let runtime = service.runtime()?;
    let people = std::fs::read_to_string(lab.file("people"))?;
    let watch = Watch::start();
    let mut out = Measured::default();
    for name in people.lines() {
        ensure!(!service.search_mv(&runtime, name, 20)?.is_empty(), "`{name}` is not found");
        out.count += 1;
    }
    (out.seconds, out.cpu_seconds) = watch.read();
    Ok(out)
}

/// Takes members from the large group, sends that, and gives them back one by one: the mean of these is measured, from
/// the import of the delta to the pending export.
async fn member(lab: &Lab) -> Result<Measured> {
    let service = lab.open().await?;
    let runtime = service.runtime()?;
    let (source, script) = scripted(&runtime)?;
    let cloud = runtime.connector(CLOUD)?;
    take_over(lab, &source)?;
    let group = largest(lab, source.id)?;
    let attribute = runtime.names.find("member").context("no attribute `member`")?;
    let members = std::fs::read_to_string(lab.file("members"))?;
    for name in members.lines() {
        script.link(&group, attribute, name.to_owned(), false);
    }
    let mut gone = 0;
    for _ in 0..EXPORT_CYCLES_MAX {
        let Some(report) = delta(&service, &runtime, &source, cloud).await? else { break };
        gone += report.counters.links;
    }
    let wanted = members.lines().count() as u64;
    ensure!(gone == wanted, "{wanted} members were taken from the group, and {gone} link values written");
    let quiet = |_: Progress| ();
    let mut out = Measured::default();
    for name in members.lines() {
        script.link(&group, attribute, name.to_owned(), true);
        let watch = Watch::start();
        service.import(&runtime, &source, Step::DeltaImport, &quiet).await?;
        tokio::task::block_in_place(|| service.sync(&runtime, &source, Step::DeltaSync, &quiet))?;
        let (seconds, cpu_seconds) = watch.read();
        out.seconds += seconds / wanted as f64;
        out.cpu_seconds += cpu_seconds / wanted as f64;
        let report = delta(&service, &runtime, &source, cloud).await?.context("nothing was pending")?;
        let c = &report.counters;
        ensure!(c.add + c.update + c.delete == 0, "more than one link value was written");
        out.links = out.links.max(c.links);
    }
    out.count = 1;
    Ok(out)
}

/// The object with most links: the group of all.
fn largest(lab: &Lab, connector: ConnectorId) -> Result<Anchor> {
    const PAGE: usize = 200;
    let store = lab.store()?;
    let reader = store.reader()?;
    let (mut after, mut found) = (CsId(i64::MIN), (0, None));
    loop {
        let page = reader.cs_page(connector, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for row in page {
            let links = row.links.iter().map(|sum| sum.count).sum();
            if links > found.0 {
                found = (links, row.anchor);
            }
        }
    }
    found.1.context("no group has members")
}

/// Serves the Graph simulator until standard input ends; prints its address.
pub async fn serve_cloud() -> Result<()> {
    let sim = onesync_graphsim::GraphSim::builder().seed(7).keep_bodies(false).start().await?;
    println!("{}", sim.base_url());
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    sim.shutdown().await?;
    Ok(())
}

/// Writes the company and applies the configuration.
pub async fn prepare(
    lab: &Lab,
    people: usize,
    cloud_url: &str,
    directory: Option<&lab::Directory>,
    server: Option<&DatabaseServer>,
) -> Result<()> {
    if directory.is_none() {
        lab.write_company(people)?;
    }
    lab.install(cloud_url, directory, server).await
}
