//! The home directory: the embedded database, the key set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onesync_store::{InstallationRow, SqliteStore, Store};
use onesync_vault::{Vault, VaultError};

use crate::clock::Clock;
use crate::error::ServiceError;
use crate::work::WorkLock;

/// The database while it is being made.
const UNFINISHED: &str = "onesync.db.new";

/// The database, and the key set or why it is not there.
pub type OpenHome = (Arc<dyn Store>, Result<Vault, VaultError>);

/// Where the state of an installation lies.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
}

impl Home {
    /// Names a home; nothing is touched yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The home that is meant when none is named: `/var/lib/onesync` for root, else `$XDG_STATE_HOME/onesync`.
    #[must_use]
    pub fn default_folder(is_root: bool, state_home: Option<PathBuf>, user_home: Option<PathBuf>) -> PathBuf {
        if is_root {
            return PathBuf::from("/var/lib/onesync");
        }
        let state = state_home.or_else(|| user_home.map(|home| home.join(".local/state")));
        state.unwrap_or_else(|| PathBuf::from(".")).join("onesync")
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The embedded database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join("onesync.db")
    }

    /// The key set.
    #[must_use]
    pub fn key_set(&self) -> PathBuf {
        self.folder.join("keyset.toml")
    }

    /// Whether an installation is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.database().exists()
    }

    /// Makes a new installation: folder, key set, database.
    ///
    /// # Errors
    /// When there is one already, or something cannot be written.
    pub fn create(&self, clock: &dyn Clock) -> Result<(), ServiceError> {
        let file_error =
            |place: &Path, source| ServiceError::File { place: place.display().to_string(), source };
        if self.exists() {
            return Err(ServiceError::usage(
                format!("{} already holds an installation", self.folder.display()),
                "name another folder with `--home`, or go on with this one",
            ));
        }
        std::fs::create_dir_all(&self.folder).map_err(|e| file_error(&self.folder, e))?;
        restrict(&self.folder).map_err(|e| file_error(&self.folder, e))?;
        let _lock = WorkLock::take(&self.folder, "making the installation", clock.now())?;
        if !self.key_set().exists() {
            Vault::create(&self.key_set())?;
        }
        // The database appears under its name when it is whole: whoever is killed before leaves no installation.
        let unfinished = self.folder.join(UNFINISHED);
        for suffix in ["", "-wal", "-shm"] {
            let leftover = self.folder.join(format!("{UNFINISHED}{suffix}"));
            match std::fs::remove_file(&leftover) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(file_error(&leftover, error));
                }
                _ => {}
            }
        }
        let store = SqliteStore::open(&unfinished)?;
        let mut id = [0u8; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| VaultError::Random)?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        store.install(&InstallationRow { id, epoch: 1, staging: false, created: clock.now() })?;
        drop(store); // the log is brought over and removed
        restrict_file(&unfinished).map_err(|e| file_error(&unfinished, e))?;
        let folder = std::fs::File::open(&self.folder);
        std::fs::rename(&unfinished, self.database())
            .and_then(|()| folder?.sync_all()) // the name must survive a power failure too
            .map_err(|e| file_error(&self.database(), e))
    }

    /// Opens the database and, where it is there, the key set.
    ///
    /// # Errors
    /// When there is no installation, or the database cannot be opened.
    pub fn open(&self) -> Result<OpenHome, ServiceError> {
        let there = self.database().try_exists();
        if !there
            .map_err(|source| ServiceError::File { place: self.database().display().to_string(), source })?
        {
            return Err(ServiceError::usage(
                format!("{} holds no installation", self.folder.display()),
                "apply a configuration first: `onesync config apply FOLDER` makes one, or name another folder with `--home`",
            ));
        }
        let store = SqliteStore::open(&self.database())?;
        Ok((Arc::new(store), Vault::open(&self.key_set())))
    }
}

#[cfg(unix)]
fn restrict(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(unix)]
pub(crate) fn restrict_file(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}
