//! `setup` and `uninstall`: shows what would be done, asks, does it.

mod answers;
mod ask;
mod connect;
mod old;
mod options;
mod wizard;

pub use old::{hide as hide_argument, new_spelling};
pub use options::Options;

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{ArgGroup, Args as ClapArgs, Subcommand};
use onesync_service::setup::{
    Check, CheckResult, Delegated, Doing, Plan, Setup, Told, Uninstall, Uninstalled,
};
use onesync_service::{Home, ServiceError, Status, SystemClock};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::output::{Output, say};
use options::{password, usage};

/// What does without a question.
const HOW_WITHOUT_ASKING: &str = "`--yes` does it without asking";

/// Options of `setup`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SetupArgs {
    #[command(subcommand)]
    command: Option<SetupCommand>,
    #[command(flatten)]
    pub options: Options,
}

/// What else `setup` does.
#[derive(Debug, Subcommand)]
enum SetupCommand {
    /// Look at the prerequisites alone, those of connected directories too, each with what to do about it
    Check(Box<Options>),
    /// Connect directories step by step, on a terminal; ends in a configuration, its plan, and the first cycle
    Connectors {
        /// Folder for the configuration; asked for when left out
        folder: Option<PathBuf>,
    },
    /// Change name or password of the service account
    ServiceAccount(AccountArgs),
}

/// Options of `setup service-account`.
#[derive(Debug, ClapArgs)]
struct AccountArgs {
    /// New name, as it is signed in with: NAME or DOMAIN\NAME
    #[arg(long)]
    name: Option<String>,
    /// File with the password so far, - for standard input; asked for when left out
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with the new password; a random one is made when left out
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

/// Options of `uninstall`.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("what becomes of the home").required(true).args(["keep_data", "remove_data"])))]
pub struct UninstallArgs {
    /// Remove the unit, and leave home and database
    #[arg(long)]
    keep_data: bool,
    /// Remove the home, too: embedded database, key set, settings. A database on a server stays
    #[arg(long)]
    remove_data: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Folder with the unit
    #[arg(long, value_name = "FOLDER", default_value = "/etc/systemd/system")]
    systemd: PathBuf,
}

/// `setup`.
pub async fn setup(home: Home, mut args: SetupArgs, out: &Output) -> anyhow::Result<Status> {
    let home = home.resolved()?;
    if let Some(password) = &args.options.account_password {
        eprintln!(
            "warning: a password on a command line can be seen by everybody on this machine, and stays in the history of the shell: use `--service-account-password-file FILE`"
        );
        if let Err(error) = old::hide(password.expose_secret().as_bytes()) {
            eprintln!("warning: it could not be taken out of the list of processes: {error}");
        }
    }
    super::keep_private();
    match &mut args.command {
        None => {}
        Some(SetupCommand::Check(options)) => options.account_password = args.options.account_password.take(),
        Some(_) if args.options.account_password.is_some() => {
            let hint = "say it to `onesync setup`, or by `--new-password-file`";
            return Err(usage("this command takes no `/serviceAccountPassword`", hint));
        }
        Some(_) => {}
    }
    match args.command {
        None => set_up(home, args.options, out).await,
        Some(SetupCommand::Connectors { folder }) => {
            if !std::io::stdin().is_terminal() {
                let hint = "write a configuration instead: `onesync config init FOLDER`";
                return Err(usage("questions need a terminal", hint));
            }
            connect::connect(home, folder, out).await
        }
        Some(SetupCommand::Check(options)) => check(home, *options, out).await,
        Some(SetupCommand::ServiceAccount(args)) => service_account(crate::open(home).await?, &args, out),
    }
}

async fn set_up(home: Home, options: Options, out: &Output) -> anyhow::Result<Status> {
    let with_answers = options.answers.is_some();
    let (yes, mut options) = (options.yes, options.with_answers()?);
    let by_person = !yes && !with_answers && !out.is_json() && std::io::stdin().is_terminal();
    // One that has lost its database is told so, and asked nothing.
    let by_person = by_person && !home.exists() && home.lost_installation()?.is_none();
    if by_person {
        wizard::ask(&mut options, &home)?;
    }
    let wanted = options.wanted(&home)?;
    let folder = home.folder().display().to_string();
    let units = wanted.units.clone();
    let setup = Setup::new(home.clone(), wanted, Arc::new(SystemClock));
    let plan = setup.look()?;
    if !out.is_json() {
        print(&plan);
    }
    if plan.waits_for.is_some() || plan.failed().next().is_some() {
        if out.is_json() {
            out.json(&json!({"plan": plan, "carried_out": false}))?;
        }
        // It says what stands in the way.
        return setup.carry_out(&plan, &mut |_| Ok(Told::Later)).map(|()| Status::Held).map_err(Into::into);
    }
    if !plan.is_done() && !yes {
        if out.is_json() {
            out.json(&json!({"plan": plan, "carried_out": false}))?;
            return Err(usage(
                "nothing was done: a plan for programs is not asked about",
                HOW_WITHOUT_ASKING,
            ));
        }
        if !agrees("Do this?", HOW_WITHOUT_ASKING)? {
            eprintln!("nothing was done");
            return Ok(Status::Usage);
        }
    }
    let mut credentials = None;
    let carried_out = setup.carry_out(&plan, &mut |doing| match doing {
        Doing::Begins(step) => {
            eprintln!("{} ...", step.text);
            Ok(Told::Shown)
        }
        Doing::Done(_) => Ok(Told::Shown),
        Doing::Credentials { name, password } if out.is_json() => {
            credentials = Some(json!({"name": name, "password": password.as_str()}));
            Ok(Told::Later)
        }
        Doing::Credentials { name, password } => show(name, password),
    });
    if out.is_json() {
        // Also when a later step has failed: nobody would see the password any more.
        let error = carried_out.as_ref().err().map(ToString::to_string);
        let told = json!({
            "plan": plan,
            "carried_out": error.is_none(),
            "error": error,
            "service_account": credentials,
        });
        if credentials.is_none() {
            out.json(&told)?;
        } else if written(&format!("{told:#}\n"))? == Told::Shown {
            setup.credentials_are_shown()?;
        }
    }
    carried_out?;
    if plan.is_done() && !out.is_json() {
        say!("nothing to do");
    }
    next(&plan, &folder, units.as_deref());
    if by_person && plan.joins.is_none() && ask::yes("Connect directories now?", true)? {
        return connect::connect(home, None, out).await;
    }
    Ok(Status::Done)
}

fn show(name: &str, password: &str) -> Result<Told, ServiceError> {
    written(&format!(
        "\nservice account  {name}\npassword         {password}\nKeep both away from this machine: backup and restore will ask for them. They are not shown again.\n\n"
    ))
}

/// Writes what must be seen; it has not been when nobody reads it. A standard output that was closed is `/dev/null` by now.
fn written(text: &str) -> Result<Told, ServiceError> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = |source| ServiceError::File { place: "standard output".to_owned(), source };
    let device = |metadata: std::fs::Metadata| (metadata.mode() & 0o170_000, metadata.rdev());
    let mut out = std::io::stdout().lock();
    if let Err(source) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        eprintln!(
            "warning: the credentials of the service account could not be shown; `onesync setup` shows them"
        );
        return Err(failed(source));
    }
    let to = out.as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata()).map_err(failed)?;
    let nowhere = std::fs::metadata("/dev/null").map_err(failed)?;
    if device(to) != device(nowhere) {
        return Ok(Told::Shown);
    }
    eprintln!(
        "warning: the credentials of the service account were not shown, because standard output is closed; `onesync setup` shows them"
    );
    Ok(Told::Later)
}

fn print(plan: &Plan) {
    say!("home      {}", plan.home);
    say!("database  {}", plan.database);
    for check in &plan.checks {
        print_check(check);
    }
    if let Some(waits) = &plan.waits_for {
        print_delegated(waits);
        return;
    }
    if plan.steps.is_empty() {
        return;
    }
    say!("\nplan");
    for (number, step) in (1..).zip(&plan.steps) {
        say!("  {number}. {}", step.text);
    }
    say!("");
}

fn print_check(check: &Check) {
    let word = match check.result {
        CheckResult::Ok => "ok",
        CheckResult::Warning => "WARNING",
        CheckResult::Failed => "FAILED",
    };
    say!("{word:<9} {}: {}", check.subject, check.text);
    if let Some(remedy) = &check.remedy {
        say!("          remedy: {remedy}");
    }
}

fn print_delegated(waits: &Delegated) {
    say!("\n{}", waits.why);
    if !waits.statements.is_empty() {
        say!("\nIf they are not there yet, have the administrator of the database server run:\n");
        for statement in &waits.statements {
            say!("{statement};");
        }
        say!("\nand in the database `{}`:\n", waits.database);
        for statement in &waits.inside {
            say!("{statement};");
        }
    }
    say!("\nThen {}.", waits.then);
}

/// What comes after.
fn next(plan: &Plan, folder: &str, units: Option<&Path>) {
    let has = |name: &str| plan.steps.iter().any(|step| step.step == name);
    if has("database-password") {
        eprintln!(
            "a daemon that runs takes the new password when it is started again: `systemctl restart onesync`"
        );
    }
    if plan.again {
        eprintln!("next: the same command again: only now it can be seen whether there is more to do");
        return;
    }
    if let Some(id) = &plan.joins {
        eprintln!(
            "this server has joined installation {id} and is not active: `onesync status` looks, nothing is imported, synchronised or exported here.\n\
             It has no key set yet: `onesync activate KEYFILE ACCOUNT PASSWORD` takes the active server's place, with a key file that was exported there; `onesync standby manual` or `automatic` has this one wait for that (docs/standby.md)."
        );
        return;
    }
    if plan.is_done() {
        return;
    }
    eprintln!("set up; the record is in {folder}/setup.log");
    let is_new = has("installation");
    if is_new {
        eprintln!(
            "next: `onesync setup connectors` asks for the directories; or `onesync config init FOLDER`, then `onesync config apply FOLDER`"
        );
    }
    match units.filter(|_| has("unit")) {
        None => {}
        Some(folder) if folder != Path::new(options::UNITS) => {
            let file = folder.join("onesync.service");
            eprintln!(
                "the unit lies in {0}, where systemd does not look by itself: put it into {1}, or name it by its whole path: `systemctl enable --now {0}`",
                file.display(),
                options::UNITS
            );
        }
        Some(_) if is_new => eprintln!("and `systemctl enable --now onesync`"),
        Some(_) => {
            eprintln!("next: `systemctl enable --now onesync`; where it runs, `systemctl restart onesync`");
        }
    }
}

/// Asks whether to go on; without a terminal nobody can be asked.
pub(super) fn agree(question: &str, how: &str) -> anyhow::Result<()> {
    if agrees(question, how)? { Ok(()) } else { Err(usage("nothing was done", how)) }
}

/// The same, for whoever may say no.
fn agrees(question: &str, how: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(usage("nothing was done: nobody can be asked here", how));
    }
    inquire::Confirm::new(question).with_default(false).prompt().context("nothing was answered")
}

/// `setup check`.
async fn check(home: Home, options: Options, out: &Output) -> anyhow::Result<Status> {
    let options = options.with_answers()?;
    let wanted = options.wanted(&home)?;
    let mut checks = Setup::new(home.clone(), wanted, Arc::new(SystemClock)).check()?;
    // Without its database nothing is known of its directories.
    if home.exists() && !checks.iter().any(|check| check.result == CheckResult::Failed) {
        checks.extend(crate::open(home).await?.check_directories().await);
    }
    if out.is_json() {
        out.json(&checks)?;
    } else {
        checks.iter().for_each(print_check);
    }
    let failed = checks.iter().any(|check| check.result == CheckResult::Failed);
    Ok(if failed { Status::Failed } else { Status::Done })
}

/// `setup service-account`.
fn service_account(
    service: onesync_service::Service,
    args: &AccountArgs,
    out: &Output,
) -> anyhow::Result<Status> {
    let standard = |file: &Option<PathBuf>| file.as_deref() == Some(std::path::Path::new("-"));
    if standard(&args.password_file) && standard(&args.new_password_file) {
        return Err(usage(
            "both passwords cannot be read from standard input",
            "only one of `--password-file` and `--new-password-file` can be `-`: name a file for the other",
        ));
    }
    let account = service.must_have_service_account()?;
    let current = match &args.password_file {
        Some(file) => password(file)?,
        None if std::io::stdin().is_terminal() => {
            let question = format!("password of {account} so far:");
            let typed = inquire::Password::new(&question).without_confirmation().prompt();
            SecretString::from(typed.context("the password was not entered")?)
        }
        None => {
            return Err(usage(
                "the password so far is needed",
                "name a file that holds it: `--password-file FILE`",
            ));
        }
    };
    let new = args.new_password_file.as_deref().map(password).transpose()?;
    if args.name.is_none() && new.is_none() && !out.is_json() {
        eprintln!("a new random password is made");
    }
    let is_made = new.is_none();
    service.change_service_account(
        &current,
        args.name.as_deref(),
        new.as_ref(),
        &mut |doing| match doing {
            Doing::Credentials { name, password } if out.is_json() => {
                written(&format!("{:#}\n", json!({"name": name, "password": password.as_str()})))
            }
            Doing::Credentials { name, password } => show(name, password),
            _ => Ok(Told::Shown),
        },
    )?;
    let name = service.service_account()?.unwrap_or_default();
    if out.is_json() && !is_made {
        out.json(&json!({"name": name, "password": null}))?;
    }
    eprintln!(
        "the service account is `{name}`; key files from before keep the account and the password they were exported with"
    );
    eprintln!("next: `onesync keys export FILE` makes one that opens with the new ones");
    Ok(Status::Done)
}

/// `uninstall`.
pub fn uninstall(home: Home, args: &UninstallArgs, out: &Output) -> anyhow::Result<Status> {
    let home = home.resolved()?;
    let folder = home.folder().display().to_string();
    let uninstall = Uninstall { home, units: args.systemd.clone(), remove_data: args.remove_data };
    let found = uninstall.look()?;
    if !out.is_json() {
        print_uninstall(&found, &folder, args.remove_data);
    }
    if found.unit.is_none() && found.data.is_empty() {
        if out.is_json() {
            out.json(&json!({"found": found, "carried_out": false}))?;
        }
        eprintln!("nothing to remove");
        return Ok(Status::Done);
    }
    if !args.yes && !agrees("Remove this?", HOW_WITHOUT_ASKING)? {
        eprintln!("nothing was done");
        return Ok(Status::Usage);
    }
    uninstall.carry_out(&found)?;
    if out.is_json() {
        out.json(&json!({"found": found, "carried_out": true}))?;
    }
    eprintln!("removed");
    Ok(Status::Done)
}

fn print_uninstall(found: &Uninstalled, folder: &str, remove_data: bool) {
    for path in found.unit.iter().chain(&found.data) {
        say!("remove  {}", path.display());
    }
    if let Some(file) = &found.other_unit {
        say!("leave   {} (it runs another home, or is not ours)", file.display());
    }
    for path in &found.others {
        say!("leave   {} (not ours)", path.display());
    }
    if !remove_data {
        say!("leave   {folder}");
    }
    if let Some(place) = &found.database {
        say!("leave   the database {place}: its administrator removes it, with its roles");
        if found.keys_go {
            say!(
                "        without the key set its secrets can never be read again, unless it was exported (`onesync keys export`)"
            );
        }
    }
    if remove_data {
        say!("leave   the program, and the system user that ran it (`userdel NAME`)");
    }
}
