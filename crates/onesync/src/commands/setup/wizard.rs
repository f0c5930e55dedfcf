//! The questions of `setup` on a terminal: they fill in the options that were left out, and the same plan follows.

use std::sync::Arc;

use anyhow::Result;
use onesync_service::setup::{SYSTEM_USER, Setup, check_password, check_proxy, name_exists};
use onesync_service::{Home, SystemClock, account};

use super::ask;
use super::options::Options;

const EMBEDDED: &str = "embedded in the home (no server; several hundred thousand objects)";
const POSTGRES: &str = "on a PostgreSQL server";
const SQL_SERVER: &str = "on a SQL Server";

/// Asks for what an installation is to be.
pub fn ask(options: &mut Options, home: &Home) -> Result<()> {
    eprintln!(
        "This asks what OneSync is to be in {}, and then shows a plan: nothing is done before you agree to it.\n",
        home.folder().display()
    );
    if options.database.is_none() && options.sqlserver.is_none() {
        match ask::choice("Where is the database to lie?", &[EMBEDDED, POSTGRES, SQL_SERVER])? {
            0 => {}
            1 => postgres(options)?,
            _ => sql_server(options)?,
        }
    } else if options.database_password_file.is_none() {
        database_password(options)?;
    }
    if let Some(id) = joins(options, home) {
        eprintln!("The database holds installation {id}: this home joins it, with all that it has.\n");
        return run_as(options);
    }
    if options.identities.is_none() {
        let number = |typed: &str| typed.replace([',', '.', ' '], "").parse::<u64>().ok();
        let typed =
            ask::text_that("How many people, groups and contacts are expected?", "10000", move |typed| {
                number(typed).map(|_| ()).ok_or_else(|| "write it in digits, for example 120000".to_owned())
            })?;
        options.identities = number(&typed);
    }
    service_account(options)?;
    run_as(options)?;
    if options.admins.is_empty() {
        options.admins = ask::names(
            "Who administers? (users, or groups as group:NAME, parted by commas)",
            &who(),
            is_there,
        )?;
        options.operators =
            ask::names("Who runs cycles and decides what is held? (or nobody)", "", is_there)?;
        options.browsers = ask::names("Who looks? (or nobody)", "", is_there)?;
        options.password_setters = ask::names("Who sets passwords of people? (or nobody)", "", is_there)?;
    }
    if options.proxy.is_none() {
        let question = "Proxy on the way to the cloud? (http://host:port, or none)";
        let proxy = ask::text_that(question, "", |url| match url {
            "" => Ok(()),
            url => check_proxy(url).map_err(|error| error.to_string()),
        })?;
        options.proxy = (!proxy.is_empty()).then_some(proxy);
    }
    Ok(())
}

fn run_as(options: &mut Options) -> Result<()> {
    if options.run_as.is_none() && account::is_root() {
        let question =
            format!("Which system user is to run the daemon? (`{SYSTEM_USER}` is made where it is missing)");
        options.run_as = Some(ask::text_that(&question, SYSTEM_USER, |name| match name {
            SYSTEM_USER => Ok(()),
            name => is_there(name),
        })?);
    }
    Ok(())
}

/// The installation that would be joined, where that can be seen: what stands in the way is told with the plan.
fn joins(options: &Options, home: &Home) -> Option<String> {
    let wanted = options.wanted(home).ok()?;
    Setup::new(home.clone(), wanted, Arc::new(SystemClock)).look().ok()?.joins
}

/// Refuses what is no user, and no group, of this system.
fn is_there(name: &str) -> Result<(), String> {
    match name_exists(name) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("this system knows no `{name}`; a group is written as `group:NAME`")),
        Err(error) => Err(error.to_string()),
    }
}

/// The user who sets up, where that is one of the system.
fn who() -> String {
    let who = account::who();
    if onesync_service::setup::name_exists(&who).unwrap_or(false) { who } else { "root".to_owned() }
}

fn postgres(options: &mut Options) -> Result<()> {
    let host =
        ask::needed("Host of the server:", "host or host:port, as it stands in the server's certificate")?;
    let database = ask::text("Database:", "onesync")?;
    let user = ask::text("Account of the service:", "onesync")?;
    let modes = [
        ("the server must prove its name by a certificate (verify-full)", "verify-full"),
        ("encrypted, without proof (require)", "require"),
        ("not encrypted (disable)", "disable"),
    ];
    let mode = ask::choice("How is the connection to be protected?", &modes.map(|(words, _)| words))?;
    let mode = modes.get(mode).map_or("verify-full", |(_, word)| word);
    let mut parameters = format!("sslmode={mode}");
    if mode == "verify-full" {
        let authority =
            ask::text("File with the certificate authority? (those of the system when empty)", "")?;
        if !authority.is_empty() {
            parameters += &format!("&sslrootcert={}", super::options::encoded(&authority));
        }
    }
    let url = |user: &str, database: &str| {
        let (user, database) = (super::options::encoded(user), super::options::encoded(database));
        format!("postgres://{user}@{host}/{database}?{parameters}")
    };
    options.database = Some(url(&user, &database));
    database_password(options)?;
    let admin = [
        "by an administrator's account, now",
        "by the database's administrator (the statements are shown), or they are there",
    ];
    if ask::choice("How are roles, database and tables made?", &admin)? == 0 {
        let user = ask::text("Account of the administrator, or of the database's owner:", "postgres")?;
        let place = ask::text("Database that it signs in to:", "postgres")?;
        options.database_admin = Some(url(&user, &place));
        options.database_admin_password = ask::password("Its password (it is not kept):")?;
    }
    Ok(())
}

fn sql_server(options: &mut Options) -> Result<()> {
    options.sqlserver = Some(ask::text("Host of the server:", "localhost")?);
    options.sqlserver_instance = Some(ask::text("Instance:", "MSSQLSERVER")?);
    options.sqlserver_database = Some(ask::text("Database:", "ADSync")?);
    options.sqlserver_user = Some(ask::text("SQL login of the service:", "onesync")?);
    let modes = [
        ("the server must prove its name by a certificate", ""),
        (
            "encrypted, without proof: the server has made its certificate itself",
            "trust_server_certificate=true",
        ),
        ("not encrypted (on one machine only)", "encrypt=disabled"),
    ];
    let mode = ask::choice("How is the connection to be protected?", &modes.map(|(words, _)| words))?;
    let mut parameters = modes.get(mode).map_or("", |(_, parameters)| parameters).to_owned();
    if parameters.is_empty() {
        let authority =
            ask::text("File with the certificate authority? (those of the system when empty)", "")?;
        if !authority.is_empty() {
            parameters = format!("ca_file={}", super::options::encoded(&authority));
        }
    }
    let url = |options: &Options| {
        let url = options.url()?;
        let mark = if url.contains('?') { '&' } else { '?' };
        Some(if parameters.is_empty() { url } else { format!("{url}{mark}{parameters}") })
    };
    database_password(options)?;
    let admin = [
        "by an administrator's login, now",
        "by the database's administrator (the statements are shown), or they are there",
    ];
    if ask::choice("How are login, database and tables made?", &admin)? == 0 {
        let user = ask::text("Login of the administrator, or of the database's owner:", "sa")?;
        let place = ask::text("Database that it signs in to:", "master")?;
        let admin =
            Options { sqlserver_user: Some(user), sqlserver_database: Some(place), ..options.clone() };
        options.database_admin = url(&admin);
        options.database_admin_password = ask::password("Its password (it is not kept):")?;
    }
    options.database = url(options);
    // The URL says it all.
    options.sqlserver = None;
    (options.sqlserver_instance, options.sqlserver_database, options.sqlserver_user) = (None, None, None);
    Ok(())
}

fn database_password(options: &mut Options) -> Result<()> {
    options.database_password = ask::password("Password of the account of the service (empty for none):")?;
    Ok(())
}

fn service_account(options: &mut Options) -> Result<()> {
    if options.service_account_name.is_some() || options.account_password.is_some() {
        return Ok(());
    }
    let kinds = [
        "one of the system, with a random password that is shown once",
        "one of ours, with a password of ours",
    ];
    if ask::choice("Which service account? (backup, restore and keys ask for it)", &kinds)? == 0 {
        return Ok(());
    }
    let name = ask::needed("Its name:", "NAME, DOMAIN\\NAME or NAME@DOMAIN")?;
    match name.split_once('\\') {
        Some((domain, name)) => {
            options.service_account_domain = Some(domain.to_owned());
            options.service_account_name = Some(name.to_owned());
        }
        None => options.service_account_name = Some(name),
    }
    let password = ask::new_password("Its password (at least 12 characters):", |typed| {
        check_password(typed).map_err(|error| error.to_string())
    })?;
    options.account_password = Some(password);
    Ok(())
}
