//! Removing what `setup` made: the unit, and on request the home with everything that is ours in it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{record, steps, unit};
use crate::daemon;
use crate::error::ServiceError;
use crate::flushed::PART;
use crate::home::Home;
use crate::work::{is_locked, is_worked_on};

/// What is removed.
#[derive(Clone, Debug)]
pub struct Uninstall {
    /// The home.
    pub home: Home,
    /// The folder with the unit.
    pub units: PathBuf,
    /// Whether the home goes, too.
    pub remove_data: bool,
}

/// What would be removed, or was.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Uninstalled {
    /// The unit.
    pub unit: Option<PathBuf>,
    /// A unit of that name that runs another home, or is not ours: it stays.
    pub other_unit: Option<PathBuf>,
    /// Files and folders of the home.
    pub data: Vec<PathBuf>,
    /// What is in the home and not ours: it stays.
    pub others: Vec<PathBuf>,
    /// The database on a server: it stays, too.
    pub database: Option<String>,
    /// Whether the key set goes by which the active server reads the secrets in that database.
    pub keys_go: bool,
}

impl Uninstall {
    /// Looks what there is. Nothing is written.
    ///
    /// # Errors
    /// When there is no installation, or the home cannot be read.
    pub fn look(&self) -> Result<Uninstalled, ServiceError> {
        let file = self.units.join(unit::NAME);
        let folder = self.home.folder();
        let mut found = Uninstalled::default();
        match unit::look(&file, folder)? {
            unit::Found::None => {}
            unit::Found::Ours(_) => found.unit = Some(file),
            unit::Found::Other => found.other_unit = Some(file),
        }
        if self.remove_data && folder.exists() {
            let there = entries(folder)?;
            // A folder that nothing was installed in, nor begun to, has nothing of ours, whatever the names of its files are.
            let is_home = self.home.exists() || is_unfinished(folder);
            for path in there {
                if is_home && is_ours(&path, true) { found.data.push(path) } else { found.others.push(path) }
            }
        }
        found.database = self.home.named()?.map(|named| named.place(folder));
        found.keys_go = found.data.contains(&self.home.key_set()) && !self.home.is_joined()?;
        Ok(found)
    }

    /// Removes it. A daemon that systemd runs is ended first.
    ///
    /// # Errors
    /// When a daemon or a command is at work there, or something cannot be removed; then run it again.
    pub fn carry_out(&self, found: &Uninstalled) -> Result<(), ServiceError> {
        let failed = |path: &Path| {
            let place = path.display().to_string();
            move |source| ServiceError::File { place, source }
        };
        let folder = self.home.folder();
        let live = found.unit.as_deref().filter(|file| unit::is_live(file));
        // Before a daemon is ended that then would have been ended for nothing.
        self.must_be_at_rest(live.is_none())?;
        if let Some(file) = live {
            unit::systemctl(&["disable", "--now", unit::NAME])?;
            remove(file).map_err(failed(file))?;
            unit::systemctl(&["daemon-reload"])?;
            self.must_be_at_rest(true)?;
        }
        if let Some(file) = &found.unit {
            remove(file).map_err(failed(file))?;
        }
        // What tells a home goes last: whoever is cut off finds it again.
        let tells = |path: &&PathBuf| TELL.iter().any(|name| path.ends_with(name));
        let (last, first): (Vec<_>, Vec<_>) = found.data.iter().partition(tells);
        for path in first.into_iter().chain(last) {
            remove(path).map_err(failed(path))?;
        }
        if self.remove_data && folder.exists() && found.others.is_empty() {
            std::fs::remove_dir(folder).map_err(failed(folder))?;
        }
        Ok(())
    }

    fn must_be_at_rest(&self, with_daemon: bool) -> Result<(), ServiceError> {
        let folder = self.home.folder();
        let locked =
            is_worked_on(folder) || [steps::LOCK, "move.lock"].iter().any(|lock| is_locked(folder, lock));
        // It need not answer: one that hangs is at work, too.
        if locked || (with_daemon && is_locked(folder, daemon::LOCK)) {
            return Err(ServiceError::held(
                format!("somebody is at work on {}", folder.display()),
                "end the daemon (`onesync status` names its process) and what else runs, then do it again",
            ));
        }
        Ok(())
    }
}

/// Refuses a folder for a new home that holds something else.
pub(super) fn refuse_foreign(folder: &Path) -> Result<(), ServiceError> {
    if !folder.exists() {
        return Ok(());
    }
    let foreign =
        entries(folder)?.into_iter().find(|path| !is_ours(path, false) && !path.ends_with("lost+found"));
    match foreign {
        None => Ok(()),
        Some(path) => Err(ServiceError::usage(
            format!("{} is no home of OneSync: it holds {}", folder.display(), path.display()),
            "name an empty folder with `--home`, or one that does not exist yet",
        )),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ServiceError> {
    let failed = |source| ServiceError::File { place: folder.display().to_string(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// What tells a home, or one that was begun.
const TELL: [&str; 4] = ["onesync.db", "onesync.db.new", "database.toml", record::FILE];

/// Whether an installation was begun there, and not finished.
fn is_unfinished(folder: &Path) -> bool {
    let keys = folder.join("keyset.toml").exists();
    record::is_one(folder)
        || (keys && ["onesync.db.new", "database.toml.new"].iter().any(|name| folder.join(name).exists()))
}

/// Whether this program makes such a file or folder in its home; some only where an installation is.
fn is_ours(path: &Path, in_home: bool) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let exact = [
        steps::LOCK,
        record::FILE,
        "work.lock",
        "move.lock",
        "serve.lock",
        "serve.sock",
        "upgrade.unfinished",
        "database.toml",
        "database.left.toml",
        "database.password",
        "database.password.2",
        "server.toml",
        crate::marker::FILE,
        crate::witness::FILE,
        "keyset.toml",
        "backup-recipients",
        onesync_vault::KEK_FILE,
        crate::keys::LOCK,
        crate::plan::PLANS,
    ];
    // While they are written.
    let whole = [PART, ".new"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    let database = |rest: &str| {
        ["", "-wal", "-shm", "-journal"].contains(&rest)
            || [".new", ".back", ".until-"].iter().any(|begin| rest.starts_with(begin))
    };
    exact.contains(&name)
        || (whole != name && exact.contains(&whole))
        || name.strip_prefix("onesync.db").is_some_and(database)
        || name.starts_with(crate::scratch::BEGINS)
        || ["keyset.toml.lost-", "kek.lost-"].iter().any(|begin| name.starts_with(begin))
        || (in_home && name == "backups")
}

fn remove(path: &Path) -> std::io::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_not_ours() {
        for ours in [
            "database.toml",
            "database.toml.new",
            "database.toml.new.part",
            "database.password.2.part",
            "onesync.db-wal",
            "onesync.db.new-shm",
            "onesync.db.until-20260101",
            "server.toml.part",
            "markers.toml",
            "witness.toml.part",
            "keyset.toml.new",
            "kek",
            "kek.new",
            "keys.lock",
            "keyset.toml.lost-1700000000",
            "scratch-1",
        ] {
            assert!(is_ours(Path::new(ours), false), "{ours}");
        }
        for other in [
            "database.yml",
            "database.sql",
            "database.toml.old",
            "keyset.toml.bak",
            "kek.old",
            "onesync.dbx",
            "environment",
        ] {
            assert!(!is_ours(Path::new(other), true), "{other}");
        }
        assert!(is_ours(Path::new("backups"), true) && !is_ours(Path::new("backups"), false));
    }

    #[test]
    fn a_folder_that_is_no_home_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["keyset.toml", "database.password", "work.lock", "setup.log"] {
            std::fs::write(folder.path().join(name), "of another program").unwrap();
        }
        std::fs::create_dir(folder.path().join("backups")).unwrap();
        let home = Home::new(folder.path());
        let units = folder.path().join("units");
        let found = Uninstall { home, units, remove_data: true }.look().unwrap();
        assert!(found.data.is_empty() && found.others.len() == 5, "{found:?}");
    }
}
