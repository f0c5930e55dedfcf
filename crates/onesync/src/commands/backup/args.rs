//! The arguments of `backup` and `restore`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

/// A backup.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArgs {
    /// Folder, where it gets a name of its own, or a file that is not there yet
    #[arg(value_name = "DIR|FILE")]
    pub place: Option<PathBuf>,
    /// With the key set inside, sealed by the service account's password, which is asked for, or to recipients
    #[arg(long)]
    pub include_keys: bool,
    /// Seal the keys to this recipient, `age1...`, in place of the password (can be repeated)
    #[arg(long = "recipient", value_name = "RECIPIENT", requires = "include_keys")]
    pub recipients: Vec<String>,
    /// Service account; that of the installation when left out
    #[arg(long, value_name = "NAME", requires = "include_keys", conflicts_with = "recipients")]
    pub account: Option<String>,
    /// File with its password, - for standard input; asked for when left out
    #[arg(long, value_name = "FILE", requires = "include_keys", conflicts_with = "recipients")]
    pub password_file: Option<PathBuf>,
    /// What else
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
}

/// What else is done with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Read a backup through: every byte, every row, and whether the keys it needs are known
    Verify {
        /// File
        file: PathBuf,
        #[command(flatten)]
        keys: KeyFileArgs,
    },
    /// Have the daemon take backups by itself; what is not named stays as it was set, and is shown when nothing is named
    Schedule {
        /// Folder, on another disk than the database; `off` ends it
        #[arg(value_name = "DIR|off")]
        folder: Option<PathBuf>,
        /// How often: 1d, 12h; 1d unless it was set
        #[arg(long)]
        every: Option<String>,
        /// How many are kept in the folder; 14 unless it was set
        #[arg(long)]
        keep: Option<usize>,
        /// Without the key set from now on
        #[arg(long, conflicts_with = "include_keys")]
        without_keys: bool,
        /// With the key set inside of each, sealed to recipients
        #[arg(long)]
        include_keys: bool,
        /// Seal the keys to this recipient, `age1...` (can be repeated)
        #[arg(long = "recipient", value_name = "RECIPIENT", requires = "include_keys")]
        recipients: Vec<String>,
    },
}

/// A key file, and what opens it.
#[derive(Debug, ClapArgs)]
pub struct KeyFileArgs {
    /// Key file, as `keys export` wrote it, or a backup with its keys inside; the backup itself when left out
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Service account that exported it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["identity", "share_file"])]
    pub account: Option<String>,
    /// File with the account's password at that time, - for standard input; asked for when left out
    #[arg(long, value_name = "FILE", requires = "account")]
    pub password_file: Option<PathBuf>,
    /// File with the identity of a recipient it is sealed to
    #[arg(long, value_name = "FILE", conflicts_with = "share_file")]
    pub identity: Option<PathBuf>,
    /// File with shares that open it, one a line (can be repeated)
    #[arg(long, alias = "share", value_name = "FILE")]
    pub share_file: Vec<PathBuf>,
}

/// What else is done with a backup that could be restored.
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Restore a backup into a scratch place, open its keys, read all directories, and look what would be written
    Rehearse {
        /// Backup
        file: PathBuf,
        #[command(flatten)]
        keys: KeyFileArgs,
    },
}

/// Back from a backup.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RestoreArgs {
    /// Backup
    pub file: Option<PathBuf>,
    /// Database: `embedded`, or an empty one on a server: `postgres://user@host/database?sslmode=verify-full`
    #[arg(long, value_name = "URL", default_value = "embedded")]
    pub to: String,
    /// File with the password of the database account, - for standard input; the home keeps it
    #[arg(long, value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// What else
    #[command(subcommand)]
    pub command: Option<RestoreCommand>,
}
