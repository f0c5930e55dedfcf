//! `bench`: builds the benchmark as a release, and runs it; with `--samba` beside a domain controller made for it.
//!
//! What is measured, and how, is the benchmark's own affair (`crates/bench`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{cargo, output, succeeds};
use crate::workspace;

/// The domain of the domain controller.
const DOMAIN: &str = "contoso.test";
/// Users in it.
const USERS: &str = "10000";
/// The address it listens on when the environment names none (`IP`).
const ADDRESS: &str = "127.0.10.62";

/// Builds and runs; false when the benchmark failed. A goal that is missed is no failure: it is shown.
pub fn run(args: &[String]) -> Result<bool> {
    let root = workspace::root()?;
    let samba = args.iter().any(|arg| arg == "--samba");
    let args: Vec<&String> = args.iter().filter(|arg| *arg != "--samba").collect();
    if !succeeds(cargo(&root, &["build", "--quiet", "--release", "--package", "onesync-bench"]))? {
        bail!("the benchmark does not build");
    }
    let program = workspace::target(&root)?.join("release/onesync-bench");
    let mut bench = Command::new(&program);
    bench.args(args).stdin(Stdio::null());
    if !samba {
        return succeeds(bench);
    }
    let folder = std::env::temp_dir().join(format!("onesync-bench-samba-{}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
    let server = Samba { script: root.join("tests/servers/samba-ad.sh"), folder };
    let found = server.directory(&program)?;
    let value = |name: &str| {
        let line = found.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.with_context(|| format!("the domain controller does not say its {name}")).map(str::to_owned)
    };
    let (url, bind, password) = (value("AD_LDAP_URL")?, value("AD_BIND_UPN")?, value("AD_BIND_PASSWORD")?);
    let base = value("AD_BASE_DN")?;
    bench.args(["--ad-url", &url, "--ad-bind", &bind, "--ad-password", &password, "--ad-base", &base]);
    succeeds(bench)
}

/// A domain controller in a folder of its own; it is stopped and removed when this goes.
struct Samba {
    script: PathBuf,
    folder: PathBuf,
}

impl Samba {
    /// Makes it, fills it, starts it; gives what it says of itself.
    fn directory(&self, program: &Path) -> Result<String> {
        eprintln!("making a domain controller with {USERS} users ...");
        self.call(&["install"])?;
        self.call(&["provision"])?;
        let ldif = self.folder.join("users.ldif");
        let file = std::fs::File::create(&ldif)?;
        let base = DOMAIN.split('.').map(|part| format!("DC={part}")).collect::<Vec<_>>().join(",");
        let status = Command::new(program)
            .args(["ldif", USERS, DOMAIN, &base])
            .stdout(file)
            .stdin(Stdio::null())
            .status()?;
        ensure!(status.success(), "the users could not be written");
        self.call(&["load", &ldif.display().to_string()])?;
        self.call(&["start"])
    }

    fn call(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.script);
        command.args(args).env("DIR", self.folder.join("ad")).env("REALM", DOMAIN.to_uppercase());
        if std::env::var_os("IP").is_none() {
            command.env("IP", ADDRESS);
        }
        command.stdin(Stdio::null());
        output(command)
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        if let Err(error) = self.call(&["wipe"]) {
            eprintln!("the domain controller could not be removed: {error:#}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("`{}` could not be removed: {error}", self.folder.display());
        }
    }
}
