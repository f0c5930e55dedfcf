//! The whole main job on embedded parts: a generated company as an LDIF directory, the Graph simulator as the cloud,
//! the embedded store in a fresh folder.

mod report;
mod writes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim};
use onesync_service::{
    Clock as _, Configuration, CycleKind, CycleReport, Home, ManualClock, Service, Status, SystemClock,
    read_folder, template,
};
use onesync_testkit::generate::{Company, CompanyOptions};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::DemoArgs;
use crate::output::Output;
use report::{DemoReport, NamedCycle};

/// The name of the cloud connector in the demonstration.
const CLOUD: &str = "entra";
/// A group that Graph lets us write; the first one, all staff, is mail-enabled.
const SECURITY_GROUP: usize = 1;
/// Seconds between two cycles: the clock of the demonstration is moved, nobody waits.
const BETWEEN_CYCLES_SECONDS: i64 = 1_800;

/// How long work that was cut off is waited for.
const END: Duration = Duration::from_secs(10);

/// Runs the demonstration on a runtime of its own. Whatever ends it, its folder does not stay behind.
pub fn run(runtime: Runtime, options: &DemoArgs, out: &Output) -> anyhow::Result<Status> {
    // Before there is anything to leave behind.
    let mut asked = runtime.block_on(async { asked_to_end() })?;
    let place = tempfile::Builder::new()
        .prefix("onesync-demo-")
        .tempdir()
        .context("a folder for the demonstration cannot be made")?;
    let shown = AtomicBool::new(false);
    let result = runtime.block_on(async {
        tokio::select! {
            result = demonstrate(options, place.path(), out, &shown) => result,
            Some(name) = asked.recv() => match (name, shown.load(Ordering::Relaxed)) {
                ("SIGINT", true) => Ok(Status::Done),
                (name, _) => Err(anyhow::anyhow!("the demonstration was asked to end ({name})")),
            },
        }
    });
    // Tasks and threads still have the database open, and who opens or closes it makes files beside it.
    runtime.shutdown_timeout(END);
    place.close().context("the folder of the demonstration cannot be removed")?;
    result
}

/// Wishes of the system, the terminal or a person that this process end, by name; asked again before it ends, it ends at once.
fn asked_to_end() -> anyhow::Result<mpsc::Receiver<&'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (sender, receiver) = mpsc::channel(1);
    // A task of its own: a sync keeps its thread busy.
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hangup.recv() => "SIGHUP",
            };
            if sender.try_send(name).is_err() {
                eprintln!("error: ended at once ({name})");
                std::process::exit(Status::Failed as i32);
            }
        }
    });
    Ok(receiver)
}

/// The demonstration in a folder; `shown` says that only a person is waited for.
async fn demonstrate(
    options: &DemoArgs,
    place: &Path,
    out: &Output,
    shown: &AtomicBool,
) -> anyhow::Result<Status> {
    let sim =
        GraphSim::builder().seed(options.seed).start().await.context("the Graph simulator does not start")?;
    let mut demo = Demo::new(options, place, &sim, out).await?;
    let report = demo.play().await?;
    if out.is_json() {
        out.json(&report)?;
    } else {
        report.print(place, options.once);
    }
    if !options.once && !out.is_json() {
        eprintln!("\nThe demonstration goes on until you press Ctrl-C. In another terminal:");
        eprintln!("  export ONESYNC_HOME={}", demo.service.home().folder().display());
        eprintln!("  onesync status          onesync held list          onesync history");
        eprintln!("  onesync search mv {}    onesync pending {CLOUD}    onesync cycle", demo.company.upn(0));
        shown.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    }
    drop(demo);
    sim.shutdown().await?;
    Ok(Status::Done)
}

struct Demo<'a> {
    company: Company,
    ldif: std::path::PathBuf,
    service: Service,
    clock: Arc<ManualClock>,
    sim: &'a GraphSim,
    out: &'a Output,
    report: DemoReport,
}

impl<'a> Demo<'a> {
    async fn new(
        options: &DemoArgs,
        place: &Path,
        sim: &'a GraphSim,
        out: &'a Output,
    ) -> anyhow::Result<Self> {
        let company = Company::new(CompanyOptions {
            seed: options.seed,
            objects: options.objects,
            ..CompanyOptions::default()
        });
        let ldif = place.join("directory.ldif");
        write(&company, &ldif)?;
        let folder = place.join("configuration");
        for (path, text) in template("single-forest", "ldif")? {
            let path = folder.join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, text)?;
        }
        std::fs::write(
            folder.join("connectors/source.toml"),
            format!(
                "name = \"contoso.com\"\nkind = \"ldif\"\nrank = 1\n\n[settings]\npath = {:?}\nrequire_end = true\n",
                ldif.display().to_string()
            ),
        )?;
        std::fs::write(
            folder.join("connectors/entra.toml"),
            format!(
                "name = \"{CLOUD}\"\nkind = \"graph\"\nrank = 100\n\n[settings]\ntenant = \"{DEFAULT_TENANT_ID}\"\nclient_id = \"{DEFAULT_CLIENT_ID}\"\nsecret = \"graph-secret\"\ngraph_url = \"{0}\"\nlogin_url = \"{0}\"\n",
                sim.base_url()
            ),
        )?;
        let home = Home::new(place.join("home"));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        home.create(&*clock)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let service = Service::open(home, clock.clone(), threads).await?;
        service.set_secret("graph-secret", DEFAULT_CLIENT_SECRET.as_bytes())?;
        service.apply(Configuration::parse(read_folder(&folder)?)?, "demo").await?;
        let report = DemoReport {
            people: company.people(),
            groups: company.groups(),
            contacts: company.contacts(),
            ..DemoReport::default()
        };
        Ok(Self { company, ldif, service, clock, sim, out, report })
    }

    async fn play(&mut self) -> anyhow::Result<DemoReport> {
        self.title(&format!(
            "A company of {} people, {} groups, {} contacts goes into an empty cloud",
            self.report.people, self.report.groups, self.report.contacts
        ));
        let mut first = self.cycle(CycleKind::Initial).await?;
        let runtime = self.service.runtime()?;
        let cloud = runtime.connector(CLOUD)?.clone();
        let plan = self.service.staging_plan(&runtime, &cloud)?;
        self.title("The cloud is in staging. The plan, before anything is written");
        for group in &plan.groups {
            self.say(&format!("  {:>7}  {} {}", group.count, group.what, group.object_type));
        }
        self.say(&format!("  plan {}: read, and released by its hash", plan.hash));
        self.report.plan = plan
            .groups
            .iter()
            .map(|g| (format!("{} {}", g.what, g.object_type).trim().to_owned(), g.count))
            .collect();
        self.service.staging_off(&runtime, &cloud, &plan.hash)?;
        let second = self.cycle_now(CycleKind::Delta).await?;
        first.merge(&second);
        self.keep("initial", first);

        self.title("The second cycle: nothing has changed, nothing is written");
        let mark = self.sim.log_mark();
        let quiet = self.cycle(CycleKind::Delta).await?;
        self.report.quiet_writes = self.sim.changes(mark).len();
        self.keep("quiet", quiet);

        self.title("A day at work");
        self.day()?;
        let mark = self.sim.log_mark();
        self.sim.keep_bodies(true);
        let changes = self.cycle(CycleKind::Delta).await?;
        self.sim.keep_bodies(false);
        self.report.writes = writes::lines(self.sim, mark);
        self.keep("changes", changes);

        self.title("Someone deletes a fifth of the company by mistake");
        let count = self.company.people() / 5;
        let told = self.company.leave_many(count);
        self.say(&format!("  {told}"));
        write(&self.company, &self.ldif)?;
        let mass = self.cycle(CycleKind::Delta).await?;
        self.keep("mass deletion", mass);
        let runtime = self.service.runtime()?;
        for plan in self.service.held_list(&runtime, false)? {
            let items = self.service.held_show(&runtime, plan["hash"].as_str().unwrap_or_default())?;
            self.report.hold(&plan, items.iter().filter(|item| item.deletes).count() as u64);
        }
        self.explain()?;
        Ok(std::mem::take(&mut self.report))
    }

    /// Hire, rename, move, leave, and changes of membership.
    fn day(&mut self) -> anyhow::Result<()> {
        let people = self.company.people();
        let mut told = vec![self.company.hire()];
        told.push(self.company.marry(people / 7));
        told.push(self.company.move_to_department(people / 5));
        // Whoever is disabled already would leave without a trace in the cloud.
        let company = &self.company;
        let enabled = |from: usize| (from..people).find(|person| company.is_enabled(*person)).unwrap_or(from);
        let (disabled, leaver) = (enabled(people / 4), enabled(people / 3));
        told.push(self.company.disable(disabled));
        told.push(self.company.leave(leaver));
        let changed = |told: &String| !told.ends_with("nothing changed");
        let mut rest = people / 2..people;
        told.extend(
            rest.by_ref().map(|person| self.company.add_member(SECURITY_GROUP, person)).find(changed),
        );
        told.extend(rest.map(|person| self.company.remove_member(SECURITY_GROUP, person)).find(changed));
        for line in &told {
            self.say(&format!("  {line}"));
        }
        self.report.day = told;
        write(&self.company, &self.ldif)
    }

    fn explain(&mut self) -> anyhow::Result<()> {
        let runtime = self.service.runtime()?;
        let person = self.company.people() / 7;
        let upn = self.company.upn(person);
        let view = self.service.show(&runtime, &upn)?;
        for name in ["displayName", "userPrincipalName", "department", "accountEnabled", "sourceAnchor"] {
            if let Some(value) = view.attributes.get(name) {
                self.report.explained.push(report::Explained {
                    object: view.name.clone(),
                    attribute: name.to_owned(),
                    value: value.value.clone(),
                    rule: value.rule.clone().unwrap_or_default(),
                    source: value.source.clone().unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    async fn cycle(&mut self, kind: CycleKind) -> anyhow::Result<CycleReport> {
        self.clock.advance_seconds(BETWEEN_CYCLES_SECONDS);
        self.cycle_now(kind).await
    }

    async fn cycle_now(&mut self, kind: CycleKind) -> anyhow::Result<CycleReport> {
        let out = self.out;
        let report = self.service.cycle(kind, &move |progress| out.progress(progress)).await?;
        if let Some(failure) = report.failures.first() {
            let hint = failure.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            anyhow::bail!("{}, {}: {}{hint}", failure.connector, failure.step.as_str(), failure.message);
        }
        Ok(report)
    }

    fn keep(&mut self, name: &str, report: CycleReport) {
        self.report.cycles.push(NamedCycle::new(name, &report));
    }

    fn title(&self, text: &str) {
        self.say(&format!("\n{text}"));
    }

    fn say(&self, text: &str) {
        if !self.out.is_json() {
            eprintln!("{text}");
        }
    }
}

fn write(company: &Company, path: &Path) -> anyhow::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    company.write_ldif(&mut file)?;
    std::io::Write::flush(&mut file)?;
    Ok(())
}
