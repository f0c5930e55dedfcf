//! Removing what `setup` made: the unit, and on request the home with everything that is ours in it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{record, steps, unit};
use crate::daemon::heart;
use crate::error::ServiceError;
use crate::home::Home;
use crate::work::is_worked_on;

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
    /// Files and folders of the home.
    pub data: Vec<PathBuf>,
    /// What is in the home and not ours: it stays.
    pub others: Vec<PathBuf>,
    /// The database on a server: it stays, too.
    pub database: Option<String>,
}

impl Uninstall {
    /// Looks what there is. Nothing is written.
    ///
    /// # Errors
    /// When there is no installation, or the home cannot be read.
    pub fn look(&self) -> Result<Uninstalled, ServiceError> {
        let file = self.units.join(unit::NAME);
        let folder = self.home.folder();
        let mut found = Uninstalled { unit: file.exists().then_some(file), ..Uninstalled::default() };
        if self.remove_data && folder.exists() {
            for path in entries(folder)? {
                if is_ours(&path) { found.data.push(path) } else { found.others.push(path) }
            }
        }
        found.database = self.home.named()?.map(|named| named.place(folder));
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
        if let Some(file) = found.unit.as_deref().filter(|file| unit::is_live(file)) {
            unit::systemctl(&["disable", "--now", unit::NAME])?;
            remove(file).map_err(failed(file))?;
            unit::systemctl(&["daemon-reload"])?;
        }
        let folder = self.home.folder();
        if heart(folder).is_some() || is_worked_on(folder) {
            return Err(ServiceError::held(
                format!("somebody is at work on {}", folder.display()),
                "end the daemon (`onesync status` names its process) and what else runs, then do it again",
            ));
        }
        if let Some(file) = &found.unit {
            remove(file).map_err(failed(file))?;
        }
        // The record of what was set up goes last.
        let (last, first): (Vec<_>, Vec<_>) =
            found.data.iter().partition(|path| path.ends_with(record::FILE));
        for path in first.into_iter().chain(last) {
            remove(path).map_err(failed(path))?;
        }
        if self.remove_data && folder.exists() && found.others.is_empty() {
            std::fs::remove_dir(folder).map_err(failed(folder))?;
        }
        Ok(())
    }
}

/// Refuses a folder for a new home that holds something else.
pub(super) fn refuse_foreign(folder: &Path) -> Result<(), ServiceError> {
    if !folder.exists() {
        return Ok(());
    }
    let foreign = entries(folder)?.into_iter().find(|path| !is_ours(path) && !path.ends_with("lost+found"));
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

/// Whether this program makes such a file or folder in its home.
fn is_ours(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let exact = [
        steps::PROXY,
        steps::LOCK,
        record::FILE,
        "work.lock",
        "move.lock",
        "serve.lock",
        "serve.sock",
        "backups",
        crate::plan::PLANS,
    ];
    let begins = ["onesync.db", "keyset.toml", "database.", crate::plan::SCRATCH];
    exact.contains(&name) || begins.iter().any(|begin| name.starts_with(begin))
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
