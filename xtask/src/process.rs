//! Starting other programs: never with a standard input, always from the workspace's root.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A cargo command in the workspace's root.
///
/// `CARGO` names the cargo that started us, which need not be the first one on the path.
pub fn cargo(root: &Path, args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(args).current_dir(root).stdin(Stdio::null());
    command
}

/// Runs a command with its output shown; true when it succeeded.
pub fn succeeds(mut command: Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("failed to start {command:?}"))?;
    Ok(status.success())
}

/// True when a cargo subcommand is installed.
pub fn has_subcommand(root: &Path, name: &str) -> bool {
    let mut command = cargo(root, &[name, "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command and returns its standard output; its failure is an error that carries what it said.
pub fn output(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {command:?} is not UTF-8"))
}

/// Which of a program's two output streams to watch.
#[derive(Clone, Copy)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Runs a command, shows its output and hands each line of one stream to `watch`; true when it succeeded.
pub fn watched(mut command: Command, stream: Stream, mut watch: impl FnMut(&str)) -> Result<bool> {
    match stream {
        Stream::Out => command.stdout(Stdio::piped()),
        Stream::Err => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| format!("failed to start {command:?}"))?;
    let piped: Option<Box<dyn std::io::Read>> = match stream {
        Stream::Out => child.stdout.take().map(|pipe| Box::new(pipe) as _),
        Stream::Err => child.stderr.take().map(|pipe| Box::new(pipe) as _),
    };
    let mut reader = BufReader::new(piped.context("the child's output was not piped")?);
    let mut line = Vec::new();
    // By bytes, since a test may print what is no UTF-8, and that must not end the run.
    while reader.read_until(b'\n', &mut line).context("failed to read the child's output")? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        watch(text.trim_end());
        line.clear();
    }
    let status = child.wait().with_context(|| format!("failed to wait for {command:?}"))?;
    Ok(status.success())
}
