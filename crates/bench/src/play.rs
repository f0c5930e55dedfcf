//! The order of a whole run: starts the phases as processes, gathers what they measured.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::Bench;
use crate::lab::{Lab, copy_database, today};
use crate::measure::Machine;
use crate::phases::Measured;
use crate::report::Report;
use crate::server;

/// Runs everything and prints the report.
pub fn run(options: &Bench) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("onesync-bench-").tempdir()?;
    let folder = match &options.keep {
        Some(keep) => {
            std::fs::create_dir(keep).with_context(|| format!("`{}` cannot be made", keep.display()))?;
            &std::path::absolute(keep)?
        }
        None => folder.path(),
    };
    let company = Lab::company(options.objects, "contoso.com", "DC=contoso,DC=com");
    let mut play = Play {
        options,
        report: Report {
            date: today(),
            machine: Machine::look(),
            people: company.people(),
            groups: company.groups(),
            contacts: company.contacts(),
            ..Report::default()
        },
    };
    drop(company);
    play.main(&folder.join("main"))?;
    if let Some(url) = &options.database {
        play.server(&folder.join("server"), &folder.join("main"), url)?;
    }
    if options.ad_url.is_some() {
        play.directory(&folder.join("ad"))?;
    }
    play.report.judge();
    println!("{}", play.report.table());
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&play.report)? + "\n")
            .with_context(|| format!("`{}` cannot be written", file.display()))?;
    }
    Ok(())
}

struct Play<'a> {
    options: &'a Bench,
    report: Report,
}

impl Play<'_> {
    fn main(&mut self, folder: &Path) -> Result<()> {
        std::fs::create_dir(folder)?;
        let output = ourselves()?.arg("rules").stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the rules could not be measured");
        self.report.rules = Some(serde_json::from_slice(&output.stdout)?);
        let lab = Lab::new(folder);
        let cloud = Cloud::start()?;
        self.prepare(folder, &cloud.url, false)?;
        self.phase(folder, "import", "import")?;
        lab.keep_database("imported.db")?;
        self.phase(folder, "limit-import", "limit-import")?;
        self.phase(folder, "import-cloud", "import-cloud")?;
        lab.keep_database("imported.db")?;
        copy_database(&lab.file("imported.db"), &lab.file("limit-first-sync.db"))?;
        self.phase(folder, "first-sync", "first-sync")?;
        lab.keep_database("synced.db")?;
        self.phase(folder, "limit-first-sync", "limit-first-sync")?;
        self.phase(folder, "full-sync", "full-sync-pending")?;
        self.phase(folder, "search", "search")?;
        if self.options.no_export {
            return Ok(());
        }
        self.phase(folder, "export", "export")?;
        self.phase(folder, "full-sync", "full-sync")?;
        self.phase(folder, "idle", "idle")?;
        self.phase(folder, "member", "member")
    }

    /// The same work in a database on a server, and everything of the embedded database into another one there.
    fn server(&mut self, folder: &Path, embedded: &Path, url: &str) -> Result<()> {
        std::fs::create_dir(folder)?;
        server::schemas(url)?;
        let cloud = Cloud::start()?;
        self.prepare(folder, &cloud.url, false)?;
        std::fs::write(folder.join("database"), server::in_schema(url, server::LIMIT))?;
        std::fs::write(embedded.join("database"), server::in_schema(url, server::MOVED))?;
        self.phase(folder, "import", "server-import")?;
        self.phase(folder, "limit-copy-import", "server-limit-import")?;
        self.phase(folder, "import-cloud", "server-import-cloud")?;
        self.phase(folder, "first-sync", "server-first-sync")?;
        self.phase(folder, "limit-copy-sync", "server-limit-sync")?;
        self.phase(folder, "full-sync", "server-full-sync-pending")?;
        self.phase(folder, "search", "server-search")?;
        if !self.options.no_export {
            self.phase(folder, "export", "server-export")?;
            self.phase(folder, "full-sync", "server-full-sync")?;
            self.phase(folder, "idle", "server-idle")?;
        }
        self.phase(embedded, "move", "move")
    }

    /// Imports from a domain controller, and reads the same with ldapsearch.
    fn directory(&mut self, folder: &Path) -> Result<()> {
        std::fs::create_dir(folder)?;
        let cloud = Cloud::start()?;
        self.prepare(folder, &cloud.url, true)?;
        self.ldapsearch()?; // warms the server's caches for both
        self.phase(folder, "import", "ad-import")?;
        let searched = self.ldapsearch()?;
        self.report.phases.insert("ad-ldapsearch".to_owned(), searched);
        self.phase(folder, "idle-directory", "idle-ad")
    }

    fn ldapsearch(&self) -> Result<Measured> {
        let option = |value: &Option<String>| value.clone().unwrap_or_default();
        let o = self.options;
        let began = std::time::Instant::now();
        let output = Command::new("ldapsearch")
            .args(["-x", "-LLL", "-o", "ldif-wrap=no", "-E", "pr=1000/noprompt"])
            .args(["-H", &option(&o.ad_url), "-D", &option(&o.ad_bind), "-w", &option(&o.ad_password)])
            .args(["-b", &option(&o.ad_base), "(|(objectCategory=person)(objectCategory=group))"])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("`ldapsearch` cannot be started")?;
        ensure!(output.status.success(), "`ldapsearch` failed");
        let seconds = began.elapsed().as_secs_f64();
        let count = output.stdout.split(|&b| b == b'\n').filter(|line| line.starts_with(b"dn:")).count();
        Ok(Measured { count: count as u64, seconds, ..Measured::default() })
    }

    fn prepare(&self, folder: &Path, cloud: &str, directory: bool) -> Result<()> {
        let mut command = ourselves()?;
        command.args(["--objects", &self.options.objects.to_string()]);
        if let Some(url) = self.options.database.as_ref().filter(|_| folder.ends_with("server")) {
            command.args(["--database", url]);
        }
        if directory {
            let o = self.options;
            for (name, value) in [
                ("--ad-url", &o.ad_url),
                ("--ad-bind", &o.ad_bind),
                ("--ad-password", &o.ad_password),
                ("--ad-base", &o.ad_base),
            ] {
                command.args([name, value.as_deref().unwrap_or_default()]);
            }
        }
        command.arg("prepare").arg(folder).arg(cloud);
        ensure!(command.status()?.success(), "the directory could not be prepared");
        Ok(())
    }

    fn phase(&mut self, folder: &Path, phase: &str, name: &str) -> Result<()> {
        eprint!("{name} ... ");
        let output = ourselves()?.arg("phase").arg(folder).arg(phase).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "phase `{name}` failed");
        let measured: Measured = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("phase `{name}` printed something else than its report"))?;
        eprintln!("{:.3} s", measured.seconds);
        self.report.phases.insert(name.to_owned(), measured);
        Ok(())
    }
}

fn ourselves() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdin(Stdio::null());
    Ok(command)
}

/// The simulator in a process of its own; it ends with its standard input.
struct Cloud {
    process: Child,
    url: String,
}

impl Cloud {
    fn start() -> Result<Self> {
        let mut process = ourselves()?.arg("cloud").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        let stdout = process.stdout.take().context("the simulator has no output")?;
        BufReader::new(stdout).read_line(&mut url)?;
        ensure!(!url.is_empty(), "the simulator did not start");
        Ok(Self { process, url: url.trim().to_owned() })
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait() {
            eprintln!("the simulator did not end: {error}");
        }
    }
}
