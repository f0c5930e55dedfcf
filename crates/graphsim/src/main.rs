//! The simulator as a program: `onesync-graphsim --listen 127.0.0.1:PORT`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use onesync_graphsim::{AppConfig, GraphSim, SecretConfig, SeedData, TenantConfig, TlsConfig};

/// Simulate Microsoft Graph for directory synchronisation
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Load the state from FILE at start and write it at the end
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Fill the tenant from FILE (JSON: tenant, behaviours, users, groups, contacts, directoryRoles)
    #[arg(long, value_name = "FILE")]
    seed_file: Option<PathBuf>,
    /// Seed of ids
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Client id of the registered application
    #[arg(long)]
    client_id: Option<String>,
    /// Client secret of the registered application
    #[arg(long)]
    client_secret: Option<String>,
    /// PEM file with the certificate of the registered application, for client assertions
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    /// Serve https with a generated certificate and write its authority to FILE
    #[arg(long, value_name = "FILE")]
    tls_ca_out: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut app = AppConfig::default();
    if let Some(client_id) = options.client_id {
        app.client_id = client_id;
    }
    if let Some(value) = options.client_secret {
        app.secrets = vec![SecretConfig { value, expires_ms: None }];
    }
    if let Some(file) = options.client_certificate {
        app.certificates.push(std::fs::read_to_string(file)?);
    }
    let client_id = app.client_id.clone();
    let tenant = TenantConfig { applications: vec![app], ..TenantConfig::default() };
    let mut builder = GraphSim::builder().tenant(tenant).seed(options.seed).listen(options.listen);
    if let Some(file) = options.state {
        builder = builder.state_file(file);
    }
    if options.tls_ca_out.is_some() {
        builder = builder.tls(TlsConfig::Generate);
    }
    let sim = builder.start().await?;
    if let (Some(file), Some(ca)) = (options.tls_ca_out, sim.ca_pem()) {
        std::fs::write(file, ca)?;
    }
    if let Some(file) = options.seed_file {
        let data: SeedData = serde_json::from_slice(&std::fs::read(file)?)?;
        let made = sim.seed(data)?;
        eprintln!("seeded {} objects", made.len());
    }
    // before anybody is told that it runs, and may ask it to end
    let end = end_asked()?;
    println!("{}", sim.graph_url());
    eprintln!("token endpoint {}", sim.token_url());
    eprintln!("client id      {client_id}");
    eprintln!("control plane  {}/_sim/", sim.base_url());
    end.await;
    sim.shutdown().await?;
    Ok(())
}

/// Waits for an interrupt from the terminal or a request of the service manager; both are heard from now on.
fn end_asked() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
