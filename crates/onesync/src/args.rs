//! The arguments.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Keeps directories in step: reads identities, joins them under rules, writes what changed.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Args {
    /// Folder of the installation: database, key set
    #[arg(long, global = true, env = "ONESYNC_HOME")]
    pub home: Option<PathBuf>,
    /// Form of lists and reports
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Form of lists and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole main job on embedded parts
    Demo(DemoArgs),
    /// Set up an installation: database, key set, service account, roles; shows a plan first
    Setup(Box<crate::commands::SetupArgs>),
    /// Take the place of the server before, with an exported key file and the service account
    Activate(Box<crate::commands::ActivateArgs>),
    /// Remove what `setup` made: the unit, and on request the home
    Uninstall(crate::commands::UninstallArgs),
    /// Configuration as code
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Rules
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Secrets of connectors
    #[command(subcommand)]
    Secret(SecretCommand),
    /// The keys that protect secrets: state, export, rotation, loss
    #[command(subcommand)]
    Keys(crate::commands::KeysCommand),
    /// Connected directories
    #[command(subcommand)]
    Connector(ConnectorCommand),
    /// Run one step, or one run profile, of one connector now
    Run {
        /// Connector
        connector: String,
        /// full-import, delta-import, full-sync, delta-sync, export, or the name of a run profile
        step: String,
    },
    /// Run a cycle now: import, sync, export, confirm
    Cycle {
        /// Everything, or what changed
        #[arg(value_enum, default_value_t = CycleKind::Delta)]
        kind: CycleKind,
    },
    /// Run cycles by itself when they are due, until it is asked to end
    Serve,
    /// Whether cycles run by themselves
    #[command(subcommand)]
    Scheduler(SchedulerCommand),
    /// Who is the active server, who stands by, and whether this one does
    #[command(subcommand)]
    Standby(crate::commands::StandbyCommand),
    /// Bring the database to this program: takes a backup first, changes the schema, and compares
    Upgrade(UpgradeArgs),
    /// Write one state of the database into a file, while the service goes on; it is read through
    Backup(crate::commands::BackupArgs),
    /// Put a backup into an empty home and an empty database; it is a copy then, until it is activated
    Restore(crate::commands::RestoreArgs),
    /// Whether exports are on
    #[command(subcommand)]
    Staging(crate::commands::StagingCommand),
    /// What protections hold back
    #[command(subcommand)]
    Held(HeldCommand),
    /// Find objects
    #[command(subcommand)]
    Search(SearchCommand),
    /// Show one object
    Show {
        /// cs:NUMBER, a metaverse id, a DN, an anchor, or a value only one object has
        object: String,
    },
    /// What a sync of one object would do now, without doing it
    Preview {
        /// Connector
        connector: String,
        /// DN, anchor, cs:NUMBER, or a value only one object of the connector has
        object: String,
        /// What if it had these attributes: a JSON object, @FILE, or - for standard input; null for no value
        #[arg(long)]
        attributes: Option<String>,
        /// It is not there yet, has this type, and OBJECT is its DN or name
        #[arg(long, value_name = "TYPE", requires = "attributes")]
        object_type: Option<String>,
    },
    /// Why an object is as it is, or is not where it might be expected
    Explain {
        /// cs:NUMBER, a metaverse id, a DN, an anchor, or a value only one object has
        object: String,
        /// Attribute of the metaverse or of a directory
        attribute: Option<String>,
    },
    /// Changes that are owed to a connector
    Pending {
        /// Connector
        connector: String,
        /// Most rows
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Errors that stand
    Errors {
        /// Connector; all when left out
        connector: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Runs, or the history of one object
    History {
        /// A metaverse id, or a value only one metaverse object has; the runs when left out
        object: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// What people did and what happened to the service
    Events(crate::commands::EventsArgs),
    /// The database
    #[command(subcommand)]
    Db(DbCommand),
    /// Health in one look
    Status,
    /// Evaluate an expression over attributes given as JSON
    Eval(EvalArgs),
}

/// How a cycle begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CycleKind {
    /// Full imports and full syncs
    Initial,
    /// What changed
    Delta,
}

impl From<CycleKind> for onesync_service::CycleKind {
    fn from(kind: CycleKind) -> Self {
        match kind {
            CycleKind::Initial => Self::Initial,
            CycleKind::Delta => Self::Delta,
        }
    }
}

/// A company needs somebody to be hired, renamed, moved and to leave.
const COMPANY_MIN: usize = 10;

fn company_size(text: &str) -> Result<usize, String> {
    let wrong = || format!("write a whole number, at least {COMPANY_MIN}");
    text.parse().ok().filter(|size| *size >= COMPANY_MIN).ok_or_else(wrong)
}

/// Options of `demo`.
#[derive(Clone, Debug, ClapArgs)]
pub struct DemoArgs {
    /// People, groups and contacts in all
    #[arg(long, default_value_t = 2_000, value_parser = company_size)]
    pub objects: usize,
    /// End after the report
    #[arg(long)]
    pub once: bool,
    /// Seed of the generated company
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Configuration as code.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a new configuration with the shipped rules
    Init(InitArgs),
    /// Make a configuration of an exported one of Azure AD Connect
    ImportAadconnect(ImportAadconnectArgs),
    /// Look for mistakes
    Check {
        /// Folder of the configuration
        folder: PathBuf,
    },
    /// Show what a configuration would change
    Plan {
        /// Folder of the configuration
        folder: PathBuf,
    },
    /// Check, show what changes, and make it the configuration
    Apply(ApplyArgs),
    /// Write the configuration in force to a folder, byte for byte
    Export {
        /// A folder that does not exist yet
        folder: PathBuf,
        /// Version; the one in force when left out
        #[arg(long)]
        version: Option<u32>,
    },
    /// Versions
    History,
}

/// Options of `config init`.
#[derive(Debug, ClapArgs)]
pub struct InitArgs {
    /// A folder that is empty or does not exist
    pub folder: PathBuf,
    /// single-forest, multi-forest-mail or account-resource
    #[arg(long, default_value = "single-forest")]
    pub topology: String,
    /// Kind of the source connectors the rules read from: ad, ldif, jsonl
    #[arg(long, default_value = "ad")]
    pub source: String,
}

/// Options of `config import-aadconnect`.
#[derive(Debug, ClapArgs)]
pub struct ImportAadconnectArgs {
    /// Folder with the XML files, or with scripts of the Synchronization Rules Editor, or one such script
    pub export: PathBuf,
    /// A folder that is empty or does not exist
    #[arg(long)]
    pub into: PathBuf,
    /// Which connector a GUID of the export is (can be repeated)
    #[arg(long = "connector", value_name = "GUID=NAME")]
    pub connectors: Vec<String>,
}

/// Options of `config apply`.
#[derive(Debug, ClapArgs)]
pub struct ApplyArgs {
    /// Folder of the configuration
    pub folder: PathBuf,
    /// Do not show what would become of objects first (a full sync over a copy of the database)
    #[arg(long)]
    pub no_plan: bool,
    /// Apply as it was looked at: the hash that `config plan` showed. What is another change by now is held, and nothing is
    /// applied when something would be deleted, disabled or disconnected that was not in the plan
    #[arg(long, value_name = "HASH", conflicts_with = "no_plan")]
    pub plan: Option<String>,
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// A newer program on an older installation.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct UpgradeArgs {
    /// Take no backup: there is one by other means
    #[arg(long)]
    pub own_backup: bool,
    /// Account of the database server that may change the tables, where the service's own may not
    #[arg(long, value_name = "URL")]
    pub database_admin: Option<String>,
    /// File with its password, - for standard input; it is kept nowhere
    #[arg(long, value_name = "FILE", requires = "database_admin")]
    pub database_admin_password_file: Option<PathBuf>,
    /// What else
    #[command(subcommand)]
    pub command: Option<UpgradeCommand>,
}

/// What comes before and after an upgrade.
#[derive(Debug, Subcommand)]
pub enum UpgradeCommand {
    /// Show what an upgrade would do; nothing is changed
    Check,
    /// Put a backup of an upgrade back, for the program before
    Back(BackArgs),
    /// Write the configuration in force with the shipped rules of this program, for `config plan`
    Rules {
        /// New folder
        folder: PathBuf,
    },
}

/// The way back.
#[derive(Debug, ClapArgs)]
pub struct BackArgs {
    /// Folder of the backup
    pub folder: PathBuf,
    /// Where it goes, when it is of a database on a server
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// The database of a new installation.
#[derive(Debug, ClapArgs)]
pub struct DatabaseArgs {
    /// Database of a new installation on a server: `postgres://user@host/database?sslmode=verify-full` or
    /// `sqlserver://user@host/database`; else one is embedded in the home
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// File with the password of the database account, - for standard input; the home keeps it
    #[arg(long, value_name = "FILE", requires = "database")]
    pub database_password_file: Option<PathBuf>,
}

/// Secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Set a secret: asks for it, or reads it from a file or from standard input
    Set {
        /// Name
        name: String,
        /// File with the secret, - for standard input
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// List names
    List,
    /// Remove a secret
    Remove {
        /// Name
        name: String,
    },
}

/// Rules.
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// Run the examples that stand beside rules
    Test {
        /// Folder of a configuration; the one in force when left out
        folder: Option<PathBuf>,
    },
}

/// Connected directories.
#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// List connectors
    List,
    /// Show one
    Show {
        /// Connector
        connector: String,
    },
    /// Look at its directory: reachability and rights
    Test {
        /// Connector
        connector: String,
    },
    /// Object types and attributes
    Schema {
        /// Connector
        connector: String,
    },
}

/// Whether cycles run by themselves.
#[derive(Debug, Subcommand)]
pub enum SchedulerCommand {
    /// Cycles begin when they are due
    On,
    /// No cycle begins by itself
    Off {
        /// Come back when no run is active
        #[arg(long)]
        wait: bool,
    },
    /// Switch, interval, daemon, last and next cycle
    Status,
}

/// What protections hold back.
#[derive(Debug, Subcommand)]
pub enum HeldCommand {
    /// Plans that are held
    List {
        /// Also those that were decided
        #[arg(long)]
        all: bool,
    },
    /// The changes of a plan
    Show {
        /// Hash
        hash: String,
    },
    /// Let a plan, or one change of it, go
    Release {
        /// Hash of a plan or of one change
        hash: String,
    },
    /// Never let a plan, or one change of it, go
    Reject {
        /// Hash of a plan or of one change
        hash: String,
    },
}

/// The database.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Move the installation into another, empty database, while the service goes on
    Move(MoveArgs),
    /// Kind, place, size, growth, room, maintenance
    Status,
    /// Ask a question in SQL, of the views
    Query {
        /// One SELECT statement
        #[arg(allow_hyphen_values = true)]
        sql: String,
        /// Most rows
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Delete what is old enough and give free space back, if that is due
    Maintain {
        /// Due or not
        #[arg(long)]
        now: bool,
    },
}

/// Options of `db move`.
#[derive(Debug, ClapArgs)]
pub struct MoveArgs {
    /// Where to: `postgres://user@host/database?sslmode=verify-full`, or `embedded`
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// File with the password of the database account, - for standard input; the home keeps it
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// Find objects.
#[derive(Debug, Subcommand)]
pub enum SearchCommand {
    /// In a connector space
    Cs {
        /// Connector
        connector: String,
        /// Value, name or anchor; the first objects when left out
        #[arg(default_value = "")]
        text: String,
        /// Most rows
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// In the metaverse
    Mv {
        /// Value or id; the first objects when left out
        #[arg(default_value = "")]
        text: String,
        /// Most rows
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
}

/// Options of `eval`.
#[derive(Debug, ClapArgs)]
pub struct EvalArgs {
    /// Expression
    #[arg(required_unless_present = "batch")]
    pub expression: Option<String>,
    /// Attributes as a JSON object, @FILE, or - for standard input
    #[arg(long, default_value = "{}")]
    pub attributes: String,
    /// Parameters as a JSON object, or @FILE
    #[arg(long, default_value = "{}")]
    pub parameters: String,
    /// The time that Now() gives (RFC 3339); the machine's when left out
    #[arg(long)]
    pub now: Option<String>,
    /// inbound or outbound
    #[arg(long, default_value = "inbound")]
    pub kind: String,
    /// Several values in canonical order, each once, as in a sync
    #[arg(long)]
    pub canonical: bool,
    /// JSON lines {"expression", "attributes", "parameters"} from a file, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["expression", "attributes"])]
    pub batch: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_argument_contradicts_another() {
        super::Args::command().debug_assert();
    }

    /// Every command and every option has its place in the reference.
    #[test]
    fn the_reference_has_every_command_and_option() {
        let reference = include_str!("../../../docs/reference.md");
        let mut open = vec![(String::new(), super::Args::command())];
        while let Some((path, command)) = open.pop() {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                open.push((format!("{path} {}", sub.get_name()).trim().to_owned(), sub.clone()));
            }
            if !command.has_subcommands() {
                let named = [format!("`{path}`"), format!("`{path} ")];
                assert!(named.iter().any(|name| reference.contains(name)), "`{path}` is missing");
            }
            for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
                let named = reference.contains(&format!("--{option}"));
                assert!(named || matches!(option, "help" | "version"), "`--{option}` of `{path}` is missing");
            }
        }
    }
}
