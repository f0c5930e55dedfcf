//! Directories step by step: what is read, what is written, how people are matched; ends in a configuration that lies in a
//! folder, its check, the first cycle, and the plan of the first contact.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use onesync_service::setup::{Chosen, Cloud, Source, files, look_at_domain};
use onesync_service::{CycleKind, Home, Service, Status};
use secrecy::{ExposeSecret as _, SecretString};
use toml::Value;

use super::ask;
use super::options::usage;
use crate::args::{ApplyArgs, DatabaseArgs};
use crate::commands::StagingCommand;
use crate::commands::{config, cycle_report, staging};
use crate::output::{Output, say};

/// What was answered for a directory, and the secrets that belong to it.
type Secrets = Vec<(String, SecretString)>;

const TOPOLOGIES: [(&str, &str); 3] = [
    ("everybody is in one forest", "single-forest"),
    ("several forests; accounts with one mail address are one person", "multi-forest-mail"),
    ("one forest with accounts, one with their mailboxes (linked by SID)", "account-resource"),
];
const KINDS: [(&str, &str); 3] =
    [("Active Directory", "ad"), ("an LDIF file", "ldif"), ("a file with one JSON object a line", "jsonl")];
const ANCHORS: [(&str, Option<&str>); 3] = [
    ("mS-DS-ConsistencyGuid where it is there, else objectGUID (suits most)", None),
    ("objectGUID", Some("object-guid")),
    ("as the tenant's accounts already have it (Entra Connect or another tool made them)", Some("tenant")),
];

/// Asks, writes the configuration, applies it, offers the first cycle.
pub async fn connect(home: Home, folder: Option<PathBuf>, out: &Output) -> Result<Status> {
    let service = crate::open(home).await?;
    if service.runtime().is_ok() && !ask::yes("A configuration is in force. Make another one?", false)? {
        return Ok(Status::Done);
    }
    let folder = match folder {
        Some(folder) => folder,
        None => PathBuf::from(ask::text_that(
            "Folder for the configuration (it belongs in version control):",
            "onesync-config",
            |folder| config::must_be_new(Path::new(folder)).map_err(|error| error.to_string()),
        )?),
    };
    config::must_be_new(&folder)?;
    let kind = pick("Where do people come from?", &KINDS)?;
    let topology = pick("How are people matched?", &TOPOLOGIES)?;
    let mut secrets = Vec::new();
    let mut sources = Vec::new();
    let forests = if topology == "single-forest" { 1 } else { 2 };
    while sources.len() < forests || (kind == "ad" && ask::yes("Read another domain or forest?", false)?) {
        let number = sources.len() + 1;
        if forests > 1 {
            eprintln!("\nForest {number}{}", which(&topology, number));
        }
        sources.push(source(&kind, number, &mut secrets, service.home().folder()).await?);
    }
    let mut cloud = cloud(&mut secrets)?;
    if let Some(url) = service.proxy()? {
        say!("`{}` goes through the proxy {url}", cloud.name);
        let url = toml::Table::from_iter([("url".to_owned(), text(url))]);
        cloud.settings.insert("proxy".to_owned(), Value::Table(url));
    }
    let anchors = ANCHORS.map(|(words, _)| words);
    let anchor = ask::choice("What ties cloud accounts to people for ever (source anchor)?", &anchors)?;
    let source_anchor = ANCHORS.get(anchor).and_then(|(_, word)| *word).map(str::to_owned);
    let chosen = Chosen { topology, kind, sources, cloud, source_anchor };
    let name = chosen.cloud.name.clone();
    let files = files(&chosen)?;
    config::write(&folder, files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())))?;
    eprintln!("\n{} files written to {}", files.len(), folder.display());
    let status = config::check(&service, &folder, out).await?;
    if status != Status::Done || !ask::yes("Apply this configuration?", true)? {
        eprintln!("nothing is applied, and no secret was kept; when it is as it should be:");
        for (secret, _) in &secrets {
            eprintln!("  onesync secret set {secret}");
        }
        eprintln!("  onesync config apply {}", folder.display());
        return Ok(status);
    }
    for (secret, value) in &secrets {
        service.set_secret(secret, value.expose_secret().as_bytes())?;
        eprintln!("secret `{secret}` is set");
    }
    let database = DatabaseArgs { database: None, database_password_file: None };
    let apply = ApplyArgs { folder, no_plan: false, plan: None, database };
    let status = config::apply(&service, &apply, out).await?;
    if status != Status::Done {
        return Ok(status);
    }
    first_cycle(&service, &name, out).await
}

/// The first cycle, and what the first contact would do. Nothing is exported before it was seen.
async fn first_cycle(service: &Service, cloud: &str, out: &Output) -> Result<Status> {
    for check in service.check_directories().await {
        super::print_check(&check);
    }
    if !ask::yes("Run the first cycle? (it imports and synchronises; nothing is exported)", true)? {
        eprintln!("later: `onesync cycle initial`");
        return Ok(Status::Done);
    }
    let report = service.cycle(CycleKind::Initial, &|progress| out.progress(progress)).await?;
    cycle_report(&report, out)?;
    if report.exit_status() == Status::Failed {
        return Ok(Status::Failed);
    }
    let plan = StagingCommand::Plan { connector: cloud.to_owned(), limit: 10 };
    staging::staging(service, plan, out)?;
    let active = ["staying in staging: nothing is exported", "active: export what the plan shows"];
    if ask::choice(&format!("How does `{cloud}` go on?"), &active)? == 1 {
        let runtime = service.runtime()?;
        let hash = service.staging_plan(&runtime, runtime.connector(cloud)?)?.hash;
        staging::staging(
            service,
            StagingCommand::Off { connector: cloud.to_owned(), plan: Some(hash), accept: None },
            out,
        )?;
        eprintln!("the next cycle exports: `onesync cycle`, or by itself with `onesync serve`");
    }
    Ok(report.exit_status())
}

fn pick(question: &str, choices: &[(&str, &str)]) -> Result<String> {
    let words: Vec<&str> = choices.iter().map(|(words, _)| *words).collect();
    let at = ask::choice(question, &words)?;
    Ok(choices.get(at).map_or_else(String::new, |(_, word)| (*word).to_owned()))
}

fn which(topology: &str, number: usize) -> &'static str {
    match (topology, number) {
        ("account-resource", 1) => ", with the accounts people sign in with",
        ("account-resource", 2) => ", with the mailboxes",
        _ => "",
    }
}

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

async fn source(kind: &str, number: usize, secrets: &mut Secrets, home: &Path) -> Result<Source> {
    if kind == "ad" {
        return active_directory(number, secrets).await;
    }
    let name = if number == 1 { "directory".to_owned() } else { format!("directory-{number}") };
    let name = ask::text("Name of the connector:", &name)?;
    let home = home.to_owned();
    let help = "its whole path; a relative one begins in the home";
    let path = ask::needed_that("File:", help, move |typed| match home.join(typed) {
        file if file.is_file() => Ok(()),
        file if file.is_dir() => Err(format!("{} is a folder", file.display())),
        file => Err(format!("there is no file {}", file.display())),
    })?;
    Ok(Source { name, settings: BTreeMap::from([("path".to_owned(), text(path))]) })
}

/// A domain: asked until it answers, and then there is something to choose from.
async fn active_directory(number: usize, secrets: &mut Secrets) -> Result<Source> {
    let secret = if number == 1 { "ad-password".to_owned() } else { format!("ad-password-{number}") };
    loop {
        let url =
            ask::needed("Domain controller:", "ldaps://dc1.contoso.com, by the name in its certificate")?;
        let authority =
            ask::text("File with the certificate authority? (those of the system when empty)", "")?;
        let bind = ask::needed("Account that reads:", "svc-onesync@contoso.com or CONTOSO\\svc-onesync")?;
        let password = ask::password("Its password:")?;
        let password = password
            .ok_or_else(|| usage("an account needs a password", "begin again: `onesync setup connectors`"))?;
        let mut settings = BTreeMap::from([
            (
                "url".to_owned(),
                text(if url.contains("://") { url.clone() } else { format!("ldaps://{url}") }),
            ),
            ("bind".to_owned(), text(bind)),
            ("password".to_owned(), text(secret.clone())),
        ]);
        if !authority.is_empty() {
            settings.insert("ca_file".to_owned(), text(authority));
        }
        let places = match look_at_domain("ad", &settings, &password).await {
            Ok(places) => places,
            Err(error) => {
                eprintln!("error: {error}");
                if let Some(hint) = error.hint() {
                    eprintln!("hint: {hint}");
                }
                if ask::yes("Answer again?", true)? {
                    continue;
                }
                return Err(error.into());
            }
        };
        let own = places.domains.iter().find(|(_, dn)| dn.eq_ignore_ascii_case(&places.domain));
        let domain = own.map_or(places.domain.clone(), |(name, _)| name.clone());
        say!("`{domain}` answers");
        let others: Vec<&str> =
            places.domains.iter().map(|(name, _)| name.as_str()).filter(|n| *n != domain).collect();
        if !others.is_empty() {
            say!("other domains of this forest, each a connector of its own: {}", others.join(", "));
        }
        let chosen = ask::choices(
            "Which containers are to be read? (all when none is chosen)",
            "space chooses, enter goes on; new containers below a chosen one are read, too",
            places.containers,
        )?;
        if !chosen.is_empty() {
            settings.insert("include".to_owned(), Value::Array(chosen.into_iter().map(text).collect()));
        }
        let name = ask::text("Name of the connector:", &domain)?;
        secrets.push((secret, password));
        return Ok(Source { name, settings });
    }
}

/// Whether a text is a domain, or the id of a tenant.
fn is_tenant(text: &str) -> Result<(), String> {
    const ID: [usize; 5] = [8, 4, 4, 4, 12];
    let is_id = text.split('-').map(str::len).eq(ID)
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric())
    };
    let is_domain = text.contains('.') && text.split('.').all(part);
    match is_id || is_domain {
        true => Ok(()),
        false => {
            Err("write a domain of the tenant (contoso.onmicrosoft.com), or its id (32 digits with 4 dashes)"
                .to_owned())
        }
    }
}

fn cloud(secrets: &mut Secrets) -> Result<Cloud> {
    const SECRET: &str = "graph-secret";
    eprintln!("\nThe tenant that is written. Its application needs the permissions of docs/graph.md.");
    let tenant = ask::needed_that("Tenant:", "contoso.onmicrosoft.com, or its id", is_tenant)?;
    let client = ask::needed("Application (client) id:", "of the application's registration in the tenant")?;
    let secret = ask::password("Its client secret:")?;
    let mut settings = BTreeMap::from([
        ("tenant".to_owned(), text(tenant)),
        ("client_id".to_owned(), text(client)),
        ("secret".to_owned(), text(SECRET)),
    ]);
    if ask::choice("Which cloud?", &["Microsoft's global one", "another one, by its addresses"])? == 1 {
        settings.insert(
            "graph_url".to_owned(),
            text(ask::needed("Address of Graph:", "https://graph.microsoft.us")?),
        );
        settings.insert(
            "login_url".to_owned(),
            text(ask::needed("Address of the sign-in:", "https://login.microsoftonline.us")?),
        );
    }
    if let Some(secret) = secret {
        secrets.push((SECRET.to_owned(), secret));
    }
    Ok(Cloud { name: ask::text("Name of the connector:", "entra")?, settings })
}

#[cfg(test)]
mod tests {
    use super::is_tenant;

    #[test]
    fn a_tenant_is_a_domain_or_an_id() {
        for tenant in ["contoso.onmicrosoft.com", "xn--mnchen-3ya.de", "0f8fad5b-d9cb-469f-a165-70867728950E"]
        {
            is_tenant(tenant).unwrap();
        }
        for other in ["contoso", "https://contoso.com", "a..b", ".com", "0f8fad5b-d9cb-469f-a165", "a b.c"] {
            assert!(is_tenant(other).is_err(), "{other}");
        }
    }
}
