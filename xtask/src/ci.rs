//! The gate: phases in an order that starts with what is quick and shares what it builds.
//!
//! clippy and the documentation share what `check` builds, the two phases of tests what `build` does.
//! Every phase runs, even after one that failed, so that one run shows everything that is wrong.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::checks::{Findings, bans, direction, documented, modules, purity, sizes, text};
use crate::process::{self, Stream, cargo, succeeds, watched};
use crate::tally::Tally;
use crate::workspace::{self, Workspace};

/// What `cargo xtask ci` was asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// Print how long each phase took.
    timings: bool,
    /// Phases to run; all when empty.
    phases: Vec<String>,
}

impl Options {
    /// Reads the arguments after `ci`.
    pub fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for arg in args {
            match arg.as_str() {
                "--timings" => options.timings = true,
                name if PHASES.iter().any(|phase| phase.name == name) => options.phases.push(name.to_owned()),
                other => bail!("unknown phase or option `{other}`; `cargo xtask help` lists them"),
            }
        }
        Ok(options)
    }
}

/// A phase of the gate.
pub struct Phase {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    run: fn(&mut Gate) -> Result<Findings>,
}

/// The stories that are told on a server, too.
const STORIES: [&str; 3] = ["story::", "crash::", "protection::"];

/// The phases in their order.
pub const PHASES: &[Phase] = &[
    Phase { name: "fmt", about: "formatting", run: fmt },
    Phase { name: "files", about: "file sizes, forgotten modules, forbidden text", run: files },
    Phase { name: "dependencies", about: "direction, purity, bans, docs/dependencies.md", run: dependencies },
    Phase { name: "licences", about: "licences, sources and bans by cargo-deny", run: licences },
    Phase { name: "clippy", about: "lints, with warnings as errors", run: clippy },
    Phase { name: "docs", about: "documentation, with warnings as errors", run: docs },
    Phase { name: "tests", about: "all unit and integration tests", run: tests },
    Phase { name: "servers", about: "stories of the main job on the servers there are", run: servers },
    Phase { name: "doctests", about: "examples in the documentation", run: doctests },
];

/// What the phases share.
struct Gate {
    root: PathBuf,
    in_ci: bool,
    tally: Tally,
}

/// Runs the phases; true when all of them passed.
pub fn run(options: &Options) -> Result<bool> {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let mut gate = Gate { root: workspace::root()?, in_ci, tally: Tally::default() };
    let mut failed = Vec::new();
    let mut times = Vec::new();
    for phase in PHASES {
        if !options.phases.is_empty() && !options.phases.iter().any(|name| name == phase.name) {
            continue;
        }
        println!("== {}", phase.name);
        let start = Instant::now();
        let findings = match (phase.run)(&mut gate) {
            Ok(findings) => findings,
            Err(error) => Findings::errors(vec![format!("{error:#}")]),
        };
        let passed = report(phase.name, &findings, start.elapsed());
        times.push((phase.name, start.elapsed()));
        if !passed {
            failed.push(phase.name);
        }
    }
    if options.timings {
        print_times(&times);
    }
    if failed.is_empty() {
        println!("== the gate is open");
    } else {
        println!("== failed: {}", failed.join(", "));
    }
    if gate.tally.run() > 0 {
        println!("{}", gate.tally);
    }
    Ok(failed.is_empty())
}

fn report(name: &str, findings: &Findings, elapsed: Duration) -> bool {
    for warning in &findings.warnings {
        println!("warning: {warning}");
    }
    for error in &findings.errors {
        println!("error: {error}");
    }
    let passed = findings.errors.is_empty();
    println!("   {name}: {} ({:.1} s)", if passed { "ok" } else { "FAILED" }, elapsed.as_secs_f64());
    passed
}

fn print_times(times: &[(&str, Duration)]) {
    println!("== timings");
    for (name, time) in times {
        println!("{:>8.1} s  {name}", time.as_secs_f64());
    }
    let sum: Duration = times.iter().map(|(_, time)| *time).sum();
    println!("{:>8.1} s  in all", sum.as_secs_f64());
}

/// The findings of a phase that is another program's verdict.
fn verdict(passed: bool, remedy: &str) -> Findings {
    if passed { Findings::default() } else { Findings::errors(vec![remedy.to_owned()]) }
}

fn fmt(gate: &mut Gate) -> Result<Findings> {
    let passed = succeeds(cargo(&gate.root, &["fmt", "--all", "--check", "--", "--files-with-diff"]))?;
    Ok(verdict(passed, "run `cargo fmt --all`"))
}

fn files(gate: &mut Gate) -> Result<Findings> {
    let files = crate::files::list(&gate.root)?;
    let mut findings = sizes::check(&gate.root, &files)?;
    findings.add(modules::check(&gate.root, &files)?);
    findings.add(text::check(&gate.root, &files)?);
    Ok(findings)
}

fn dependencies(gate: &mut Gate) -> Result<Findings> {
    let workspace = Workspace::load(&gate.root)?;
    let mut findings = direction::check(&workspace);
    findings.add(purity::check(&gate.root)?);
    findings.add(bans::check(&gate.root)?);
    findings.add(documented::check(&gate.root, &workspace)?);
    Ok(findings)
}

fn licences(gate: &mut Gate) -> Result<Findings> {
    if !process::has_subcommand(&gate.root, "deny") {
        println!(
            "SKIPPED: cargo-deny is not installed: licences and sources are not checked; bans were, by the phase `dependencies`"
        );
        return Ok(Findings::default());
    }
    // offline: whether a dependency is sound today does not depend on the network
    let mut command = cargo(&gate.root, &["deny", "--offline", "--log-level", "error", "check"]);
    command.args(["--hide-inclusion-graph", "bans", "licenses", "sources"]);
    Ok(verdict(succeeds(command)?, "see above; deny.toml has what is allowed"))
}

fn clippy(gate: &mut Gate) -> Result<Findings> {
    let args = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    Ok(verdict(succeeds(cargo(&gate.root, &args))?, "see above"))
}

fn docs(gate: &mut Gate) -> Result<Findings> {
    let mut command = cargo(&gate.root, &["doc", "--quiet", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    Ok(verdict(succeeds(command)?, "see above"))
}

/// A server that tests need: the mark in their names, the variable by which they find it, what it is called, and whether
/// `./test` starts one.
struct Peer {
    mark: &'static str,
    variable: &'static str,
    name: &'static str,
    started: bool,
}

/// `./test` starts these and sets the variables; none can be had of SQL Server.
const PEERS: [Peer; 3] = [
    Peer { mark: SAMBA, variable: "AD_LDAP_URL", name: "the domain controller", started: true },
    Peer { mark: "postgres::", variable: "PG_URL", name: "PostgreSQL", started: true },
    Peer { mark: "sqlserver::", variable: "ONESYNC_TEST_SQLSERVER", name: "SQL Server", started: false },
];
/// Marks of tests that must run one by one.
const SAMBA: &str = "samba::";
const KILL: &str = "kill::";

fn tests(gate: &mut Gate) -> Result<Findings> {
    let mut missing = Vec::new();
    for peer in PEERS.iter().filter(|peer| std::env::var_os(peer.variable).is_none()) {
        if gate.in_ci && peer.started {
            bail!(
                "{} is not set, and CI does not run without {}: `./test` starts it",
                peer.variable,
                peer.name
            );
        }
        let how = if peer.started { "`./test` runs them" } else { "they run where it names a server" };
        println!("SKIPPED: {} is not set: tests named {} are left out; {how}", peer.variable, peer.mark);
        missing.push(peer.mark);
    }
    let before = gate.tally.run();
    let passed = if process::has_subcommand(&gate.root, "nextest") {
        with_nextest(gate, &missing)?
    } else {
        println!("cargo-nextest is not installed: `cargo test` does its work");
        with_cargo_test(gate, &missing)?
    };
    if passed && gate.tally.run() == before {
        bail!("no test was run");
    }
    Ok(verdict(passed, "see above"))
}

fn with_nextest(gate: &mut Gate, missing: &[&str]) -> Result<bool> {
    let mut command =
        cargo(&gate.root, &["nextest", "run", "--workspace", "--profile", "ci", "--cargo-quiet"]);
    if !missing.is_empty() {
        let left_out: Vec<String> = missing.iter().map(|mark| format!("not test({mark})")).collect();
        command.args(["--filterset", &left_out.join(" and ")]);
    }
    let tally = &mut gate.tally;
    watched(command, Stream::Err, |line| *tally += Tally::from_line(line))
}

/// The stories that say most about a store, told again with their state on a server.
fn servers(gate: &mut Gate) -> Result<Findings> {
    let mut passed = true;
    for (variable, store) in [("PG_URL", "postgres"), ("ONESYNC_TEST_SQLSERVER", "sqlserver")] {
        if std::env::var_os(variable).is_none() {
            println!("SKIPPED: {variable} is not set: no story is told on such a server");
            continue;
        }
        passed &= stories(gate, store)?;
    }
    Ok(verdict(passed, "see above"))
}

/// Tells the stories on one sort of server.
fn stories(gate: &mut Gate, store: &str) -> Result<bool> {
    const PACKAGE: [&str; 2] = ["--package", "onesync-service"];
    let (mut command, stream) = if process::has_subcommand(&gate.root, "nextest") {
        let mut command = cargo(&gate.root, &["nextest", "run", "--profile", "ci", "--cargo-quiet"]);
        let stories: Vec<String> = STORIES.iter().map(|story| format!("test(/^{story}/)")).collect();
        command.args(PACKAGE).args(["--filterset", &stories.join(" or ")]);
        (command, Stream::Err)
    } else {
        let mut command = cargo(&gate.root, &["test", "--quiet", "--tests", "--no-fail-fast"]);
        command.args(PACKAGE).arg("--").args(STORIES);
        (command, Stream::Out)
    };
    command.env("ONESYNC_TEST_STORE", store);
    let before = gate.tally.run();
    let tally = &mut gate.tally;
    // What the filter leaves out was not skipped: the phase before ran it.
    let passed = watched(command, stream, |line| *tally += Tally { skipped: 0, ..Tally::from_line(line) })?;
    if passed && gate.tally.run() == before {
        bail!("no story was told");
    }
    Ok(passed)
}

fn with_cargo_test(gate: &mut Gate, missing: &[&str]) -> Result<bool> {
    const ARGS: [&str; 7] =
        ["test", "--quiet", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"];
    let mut parallel = cargo(&gate.root, &ARGS);
    parallel.args(["--", "--skip", SAMBA, "--skip", KILL]);
    let mut serial = cargo(&gate.root, &ARGS);
    serial.args(["--", "--test-threads=1", KILL, SAMBA]);
    for mark in missing {
        parallel.args(["--skip", mark]);
        serial.args(["--skip", mark]);
    }
    let tally = &mut gate.tally;
    let mut count = |line: &str| *tally += Tally::from_line(line);
    let passed = watched(parallel, Stream::Out, &mut count)?;
    Ok(watched(serial, Stream::Out, &mut count)? && passed)
}

fn doctests(gate: &mut Gate) -> Result<Findings> {
    let command = cargo(&gate.root, &["test", "--quiet", "--workspace", "--doc"]);
    let tally = &mut gate.tally;
    let passed = watched(command, Stream::Out, |line| *tally += Tally::from_line(line))?;
    Ok(verdict(passed, "see above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn phases_are_named_on_the_command_line() {
        let options = parse(&["--timings", "fmt", "docs"]).unwrap();
        assert!(options.timings);
        assert_eq!(options.phases, ["fmt", "docs"]);
    }

    #[test]
    fn an_unknown_phase_is_refused() {
        let error = parse(&["lint"]).unwrap_err().to_string();
        assert!(error.contains("`lint`"), "{error}");
    }
}
