//! How fast it is, and the limit beside it: the real service over a made-up company, the simulator in a process of its
//! own, each phase in a process of its own.
//!
//! Started by `cargo xtask bench`. Deliberately absent: waiting for a quiet machine (the load is in the report).

mod lab;
mod measure;
mod phases;
mod play;
mod report;
mod rules;
mod scripted;
mod server;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// The system's allocator gives memory back and takes it again with each batch, and keeps an arena for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    about = "Measure imports, syncs and exports beside what SQLite, PostgreSQL and ldapsearch alone can do"
)]
struct Options {
    #[command(flatten)]
    bench: Bench,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What a whole run is to measure.
#[derive(Args, Clone, Debug)]
struct Bench {
    /// People in the directory; groups and contacts, one for every 18 people, come on top
    #[arg(long, default_value_t = 100_000)]
    objects: usize,
    /// Write the report as JSON to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave out the export and what follows it
    #[arg(long)]
    no_export: bool,
    /// Keep everything in FOLDER, which must not exist
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// The same in this empty PostgreSQL database, too: `postgres://user:password@host/database?sslmode=disable`
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Import from this domain controller, too
    #[arg(long, value_name = "URL", requires_all = ["ad_bind", "ad_password", "ad_base"])]
    ad_url: Option<String>,
    /// The account
    #[arg(long)]
    ad_bind: Option<String>,
    /// Its password
    #[arg(long)]
    ad_password: Option<String>,
    /// The base that ldapsearch reads
    #[arg(long)]
    ad_base: Option<String>,
}

#[derive(Subcommand)]
enum Part {
    /// Write the company and apply the configuration
    #[command(hide = true)]
    Prepare { folder: PathBuf, cloud: String },
    /// Run one phase and print what was measured as JSON
    #[command(hide = true)]
    Phase { folder: PathBuf, name: String },
    /// Measure only what the rules cost for one full user: those of an export of Azure AD Connect
    Rules {
        /// The export; the one beside the repository, or the shipped rules, when none is named
        export: Option<PathBuf>,
    },
    /// Serve the simulator until standard input ends
    #[command(hide = true)]
    Cloud,
    /// Write users as LDIF for a domain controller
    #[command(hide = true)]
    Ldif { people: usize, domain: String, base: String },
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("warn"))
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let bench = options.bench;
    match options.part {
        None => play::run(&bench),
        Some(Part::Prepare { folder, cloud }) => {
            let server = bench.database.as_deref().map(server::server).transpose()?;
            let lab = lab::Lab::new(folder);
            phases::prepare(&lab, bench.objects, &cloud, directory(&bench).as_ref(), server.as_ref()).await
        }
        Some(Part::Phase { folder, name }) => {
            let measured = phases::run(&lab::Lab::new(folder), &name).await?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
        Some(Part::Rules { export }) => {
            let measured = rules::measure(export.as_deref()).await?;
            eprint!("{}", measured.text());
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
        Some(Part::Cloud) => phases::serve_cloud().await,
        Some(Part::Ldif { people, domain, base }) => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            lab::Lab::write_users(people, &domain, &base, &mut out)
        }
    }
}

fn directory(bench: &Bench) -> Option<lab::Directory> {
    Some(lab::Directory {
        url: bench.ad_url.clone()?,
        bind: bench.ad_bind.clone()?,
        password: bench.ad_password.clone()?,
    })
}
