//! Tasks of the house, started with `cargo xtask TASK`.
//!
//! `ci` is the gate: it runs everything that has to hold before a change lands, the same here and in CI. `bench`
//! measures, `dist` packs.
//! Deliberately absent: anything that installs software or starts servers (`./test` does), and any dependency on
//! the crates it checks, so that the gate still runs when they do not compile.

mod bench;
mod checks;
mod ci;
mod dist;
mod files;
mod process;
mod tally;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask ci [--timings] [PHASE...]
       cargo xtask bench [--objects N] [--json FILE] [--samba] [--no-export] [--keep FOLDER]
       cargo xtask bench rules [EXPORT]
       cargo xtask dist [--profile PROFILE] [--into FOLDER]

Runs all phases of the gate, or only the named ones, each even if one before it failed.

  --timings   print how long each phase took

Measures as a release what docs/performance.md lists, and the limits beside it.

  --objects N     people in the made-up directory (default 100000)
  --json FILE     write the report as JSON, too
  --samba         import from a Samba domain controller with 10,000 users, too (needs root)
  --no-export     leave out the export and what follows it
  --keep FOLDER   keep the databases in FOLDER, which must not exist

Builds the program and packs it as .deb and .tar.gz.

  --profile PROFILE   profile of cargo (default dist: optimised as a whole, takes many minutes)
  --into FOLDER       where the packages go (default target/packages)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the task that the arguments name; false when it found something wrong.
fn run(args: &[String]) -> Result<bool> {
    let Some((task, rest)) = args.split_first() else {
        bail!("no task named\n\n{}", usage());
    };
    match task.as_str() {
        "ci" => {
            let options = ci::Options::parse(rest)?;
            ci::run(&options)
        }
        "bench" => bench::run(rest),
        "dist" => dist::run(rest),
        "help" | "--help" | "-h" => {
            print!("{}", usage());
            Ok(true)
        }
        other => bail!("unknown task `{other}`\n\n{}", usage()),
    }
}

fn usage() -> String {
    let mut text = format!("{USAGE}\nphases:\n");
    for phase in ci::PHASES {
        text.push_str(&format!("  {:<14}{}\n", phase.name, phase.about));
    }
    text
}
