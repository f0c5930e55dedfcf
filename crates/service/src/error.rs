//! Errors as an administrator meets them: what happened, where, what to do, and the exit status.

use std::io::ErrorKind;

use onesync_connectors::{ConnectorError, ErrorClass};
use onesync_engine::ReadError;
use onesync_store::{DAMAGED, StoreError};
use thiserror::Error;

/// How a command ends, as documented: the exit status. The greater one is the worse: what failed outweighs what was held
/// back, and that what single objects suffered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Done, with errors of single objects.
    ObjectErrors = 3,
    /// Held back by a protection: threshold, staging, fencing, missing key.
    Held = 4,
}

impl Status {
    fn severity(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::ObjectErrors => 1,
            Self::Held => 2,
            Self::Failed => 3,
            Self::Usage => 4,
        }
    }
}

impl Ord for Status {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.severity().cmp(&other.severity())
    }
}

impl PartialOrd for Status {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What to do on a server that has joined a database.
pub(crate) const JOINED: &str = "the active server is the one that has taken the epoch of the database. `onesync activate` takes its place, with an \
     exported key file and the service account's password; `onesync standby` has this one wait for that";

/// An error of the service.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A read of the store failed.
    #[error("the database cannot be read: {0}")]
    Read(#[from] ReadError),
    /// A connector failed.
    #[error("connector `{connector}`: {source}")]
    Connector {
        /// Its name.
        connector: String,
        /// What happened. Boxed: it is much larger than the others.
        source: Box<ConnectorError>,
    },
    /// The configuration is wrong: everything stops before the first write.
    #[error("{message}")]
    Config {
        /// What is wrong, with file and line.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Something that was named does not exist, or makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// An import shows far less than it should: nothing more is synchronised or written because of it.
    #[error("{message}")]
    Suspect {
        /// What is missing.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A protection holds it back.
    #[error("{message}")]
    Held {
        /// What is held and why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A backup that cannot be used.
    #[error("{message}")]
    Backup {
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The key set or a secret.
    #[error("{0}")]
    Vault(#[from] onesync_vault::VaultError),
    /// A file.
    #[error("{place}: {source}")]
    File {
        /// Which file.
        place: String,
        /// What happened.
        source: std::io::Error,
    },
    /// There is so little room left that no further step begins.
    #[error("{message}")]
    NoRoom {
        /// How little.
        message: String,
    },
    /// Somebody asked the work to stop.
    #[error("stopped: {why}")]
    Stopped {
        /// Who or what asked.
        why: String,
    },
    /// A bug: a thread of ours ended early.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl ServiceError {
    /// An error of a connector.
    pub(crate) fn connector(name: &str, source: ConnectorError) -> Self {
        Self::Connector { connector: name.to_owned(), source: Box::new(source) }
    }

    /// An error of usage with a remedy.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// Something is held back, with a remedy.
    pub(crate) fn held(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Held { message: message.into(), hint: Some(hint.into()) }
    }

    /// An error of the configuration with a remedy.
    pub(crate) fn config(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Config { message: message.into(), hint: Some(hint.into()) }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Connector { source, .. } => source.hint.as_deref(),
            Self::Config { hint, .. }
            | Self::Usage { hint, .. }
            | Self::Suspect { hint, .. }
            | Self::Held { hint, .. } => hint.as_deref(),
            Self::Backup { hint, .. } => Some(hint),
            Self::Store(StoreError::ReadOnly { .. }) => {
                Some("run as the account that owns `--home`, or give this one the right to write there")
            }
            Self::Store(StoreError::Moved { .. }) => Some(
                "what was under way is run again; where another server moved it, or this home has lost `database.toml`: `onesync setup --database URL --database-password-file FILE` has this home go on in that database",
            ),
            Self::Store(StoreError::Disk { .. }) => Some(
                "nothing says that the database itself is damaged: see whether its disk is full (`df`), mounted for reading only or failing, and whether this account may use the file and its folder; then do the same again",
            ),
            Self::Store(StoreError::SignIn { .. }) => Some(
                "where the password was changed on the server: `onesync setup --database-password-file FILE` brings the new one; else have its administrator let the account in",
            ),
            Self::Store(StoreError::Rights { .. }) => Some(
                "`onesync setup --database-admin URL --database-admin-password-file FILE` gives what is missing in the database of this home; for one that is to be filled name an account that owns it",
            ),
            Self::Store(StoreError::Fenced { ours: 0, .. }) => Some(JOINED),
            Self::Store(_) | Self::Read(_) if self.to_string().contains(DAMAGED) => Some(
                "restore the database from a backup: move the damaged one away, where it is kept (`onesync.db` with its `-wal`), then `onesync restore FILE`; without one, begin anew with another `--home`: accounts are found again by their source anchor",
            ),
            Self::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                Some("run it as the account that owns the place, or name another place")
            }
            Self::File { source, .. } if source.kind() == ErrorKind::ResourceBusy => Some(
                "a process that writes there hangs or was stopped (`onesync status` names the daemon; `fuser` who has the folder): end it, then do the same again",
            ),
            Self::File { source, .. } if source.kind() == ErrorKind::IsADirectory => {
                Some("it is a folder: name a file in it")
            }
            Self::File { source, .. } if source.kind() == ErrorKind::NotFound => {
                Some("nothing is there: look at the path as it is written")
            }
            Self::NoRoom { .. } => Some(
                "nothing is lost: free some space (`onesync db maintain --now`, `onesync db status` says what takes it) or raise the limit; the next cycle goes on from here. A database server keeps what was freed for later rows: its administrator's `VACUUM FULL` (PostgreSQL) makes the files smaller",
            ),
            Self::Stopped { .. } => Some("nothing is lost: the next cycle goes on from here"),
            _ => None,
        }
    }

    /// The exit status.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            // What was named is not there, or is something else.
            Self::File { source, .. }
                if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) =>
            {
                Status::Usage
            }
            Self::Usage { .. }
            | Self::Store(
                StoreError::Settings { .. } | StoreError::NoDatabase { .. } | StoreError::Question { .. },
            ) => Status::Usage,
            Self::Suspect { .. }
            | Self::Held { .. }
            | Self::NoRoom { .. }
            | Self::Store(
                StoreError::Fenced { .. }
                | StoreError::Moving { .. }
                | StoreError::Moved { .. }
                | StoreError::HalfRestored,
            )
            | Self::Vault(_) => Status::Held,
            _ => Status::Failed,
        }
    }

    /// Whether nothing else can be done either: the database, a bug, or a wish to stop.
    pub(crate) fn ends_everything(&self) -> bool {
        matches!(
            self,
            Self::Store(_) | Self::Read(_) | Self::Internal(_) | Self::Stopped { .. } | Self::NoRoom { .. }
        )
    }

    /// Whether trying again later may help without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Connector { source, .. } if matches!(source.class, ErrorClass::Transient | ErrorClass::Throttled(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn what_failed_is_worse_than_what_was_held_back() {
        let worst = [Status::Held, Status::Failed, Status::ObjectErrors, Status::Done].into_iter().max();
        assert_eq!(worst, Some(Status::Failed));
        assert_eq!([Status::ObjectErrors, Status::Held].into_iter().max(), Some(Status::Held));
    }
}
