//! The backup before an upgrade, and the way back to it.
//!
//! A folder below the home: the database as it was, and `manifest.json`, which is written last and names each part with
//! its size and hash; a folder without it is no backup. The database is copied as it is, whatever version it has. The
//! key set is not in it: an upgrade leaves it alone.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context as Digest, SHA256};
use onesync_model::Time;
use onesync_store::{BackedUp, SchemaState, SqliteStore};
use serde::{Deserialize, Serialize};

use crate::backup::{at, ended, stamp};
use crate::database::{DatabaseServer, Named};
use crate::error::ServiceError;
use crate::home::{Home, restrict, restrict_file};
use crate::moving;
use crate::staging::ACTIVE;
use crate::work::WorkLock;

const MANIFEST: &str = "manifest.json";
/// The form of the folder.
const FORM: u32 = 1;
/// The embedded database in a backup.
const EMBEDDED: &str = "onesync.db";
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// A backup, as its manifest says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// The folder; not in the manifest, so that it can be moved.
    #[serde(skip_deserializing)]
    pub folder: PathBuf,
    /// The form of the folder.
    pub form: u32,
    /// `embedded` or `server`.
    pub kind: String,
    /// The program that took it.
    pub program: String,
    /// When.
    pub taken: String,
    /// The installation in a database on a server; older backups do not say it.
    #[serde(default)]
    pub installation: Option<String>,
    /// The version of the database's schema.
    pub schema: u32,
    /// Its files.
    pub parts: Vec<Part>,
    /// The rows of each table.
    pub tables: Vec<Table>,
}

/// A file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the folder.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// A table of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// The table.
    pub name: String,
    /// Its rows.
    pub rows: u64,
}

fn tables(rows: Vec<BackedUp>) -> Vec<Table> {
    rows.into_iter().map(|BackedUp { table, rows }| Table { name: table, rows }).collect()
}

impl Backup {
    /// Takes one, and reads it through. Whoever calls holds the lock of the home.
    pub(super) fn take(home: &Home, state: &SchemaState, now: Time) -> Result<Self, ServiceError> {
        let backups = home.folder().join("backups");
        let stamp = stamp(now);
        let folder = backups.join(format!("upgrade-schema{}-{stamp}", state.found));
        if std::fs::metadata(&backups).is_ok_and(|found| !found.is_dir()) {
            return Err(ServiceError::usage(
                format!(
                    "{} is a file, and the backup before an upgrade goes into a folder of that name",
                    backups.display()
                ),
                "move it away, and run it again; nothing was changed",
            ));
        }
        std::fs::create_dir_all(&backups).map_err(at(&backups))?;
        restrict(&backups).map_err(at(&backups))?;
        std::fs::create_dir(&folder).map_err(at(&folder))?;
        let taken = Self::fill(home, state, now, &folder);
        if taken.is_err() {
            // Half a backup is none; what it holds is still in the database.
            std::fs::remove_dir_all(&folder).map_err(at(&folder))?;
        }
        taken
    }

    fn fill(home: &Home, state: &SchemaState, now: Time, folder: &Path) -> Result<Self, ServiceError> {
        restrict(folder).map_err(at(folder))?;
        let (kind, rows) = match home.named()? {
            None => ("embedded", SqliteStore::backup(&home.database(), &folder.join(EMBEDDED))?),
            Some(named) => ("server", named.options(home.folder())?.backup(folder)?),
        };
        let mut parts = Vec::new();
        let mut names: Vec<_> =
            std::fs::read_dir(folder).and_then(|files| files.collect()).map_err(at(folder))?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        for name in names.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            restrict_file(&folder.join(&name)).map_err(at(folder))?;
            let (bytes, sha256) = hash(&folder.join(&name))?;
            parts.push(Part { name, bytes, sha256 });
        }
        let backup = Self {
            folder: folder.to_owned(),
            form: FORM,
            kind: kind.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            taken: now.to_string(),
            installation: home.named()?.map(|named| named.installation),
            schema: state.found,
            parts,
            tables: tables(rows),
        };
        let text = serde_json::to_string_pretty(&backup)
            .map_err(|error| ServiceError::Internal(error.to_string()))?;
        let manifest = folder.join(MANIFEST);
        std::fs::write(&manifest, text)
            .and_then(|()| File::open(&manifest)?.sync_all())
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(at(&manifest))?;
        Ok(backup)
    }

    /// Reads the manifest of a backup and all its parts.
    ///
    /// # Errors
    /// When the folder is no backup, or a part is missing or not what was written.
    pub fn verify(folder: &Path) -> Result<Self, ServiceError> {
        let manifest = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&manifest).map_err(at(&manifest))?;
        let damaged = |what: String| {
            ServiceError::usage(
                format!("{} is no backup that can be used: {what}", folder.display()),
                "name a folder that `onesync upgrade` made below `backups` in the home",
            )
        };
        let mut backup: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        folder.clone_into(&mut backup.folder);
        if backup.form != FORM {
            return Err(damaged(format!("it has form {}, this program knows form {FORM}", backup.form)));
        }
        for part in &backup.parts {
            let place = folder.join(&part.name);
            if hash(&place)? != (part.bytes, part.sha256.clone()) {
                return Err(damaged(format!("`{}` is not what was written into it", part.name)));
            }
        }
        if backup.kind == "embedded"
            && tables(SqliteStore::verify_backup(&folder.join(EMBEDDED))?) != backup.tables
        {
            return Err(damaged("its tables have other numbers of rows than its manifest says".to_owned()));
        }
        Ok(backup)
    }

    /// Puts it back: the embedded database in the place of the one in the home, which is kept beside it; one of a server
    /// into an empty database, which the home names from then on. Exports are off in it, since it does not know what was
    /// exported since. Gives where the database before is kept.
    ///
    /// # Errors
    /// When it is damaged, somebody works on the installation, or a place is missing or not empty; nothing was changed
    /// then.
    pub fn put_back(
        home: &Home,
        folder: &Path,
        to: Option<&DatabaseServer>,
        now: Time,
    ) -> Result<(Self, String), ServiceError> {
        if !home.exists() {
            home.open().map(drop)?; // says what is missing
        }
        let backup = Self::verify(folder)?;
        let _lock = WorkLock::take(home.folder(), "upgrade back", now)?;
        let kept = match (backup.kind.as_str(), to, home.named()?) {
            ("embedded", None, None) => put_embedded(home, &backup, now)?,
            ("server", Some(server), Some(named)) => {
                server.check()?;
                put_on_server(home, &backup, server, &named, now)?;
                named.url
            }
            ("server", None, _) => {
                return Err(ServiceError::usage(
                    "the backup is of a database on a server, and goes into an empty one",
                    "name it: `--database URL --database-password-file FILE`",
                ));
            }
            (kind, ..) => {
                return Err(ServiceError::usage(
                    format!("the backup is of another kind of database ({kind}) than this home has"),
                    "name the home it was taken of with `--home`, and `--database` only for one on a server",
                ));
            }
        };
        Ok((backup, kept))
    }
}

/// The newest backup below a home: when it was taken.
pub(crate) fn last_backup(home: &Home) -> Option<String> {
    let folders = std::fs::read_dir(home.folder().join("backups")).ok()?;
    let taken = folders.filter_map(|folder| {
        let text = std::fs::read_to_string(folder.ok()?.path().join(MANIFEST)).ok()?;
        Some(serde_json::from_str::<Backup>(&text).ok()?.taken)
    });
    taken.max()
}

fn put_embedded(home: &Home, backup: &Backup, now: Time) -> Result<String, ServiceError> {
    let current = home.database();
    let new = home.folder().join("onesync.db.back");
    remove_database(&new)?;
    std::fs::copy(backup.folder.join(EMBEDDED), &new).and_then(|_| restrict_file(&new)).map_err(at(&new))?;
    SqliteStore::forget_state(&new, ACTIVE)?;
    SqliteStore::raise_epoch(&new, home.note_put_back(now)?)?;
    let kept = home.folder().join(format!("onesync.db.until-{}", stamp(now)));
    SqliteStore::backup(&current, &kept)?;
    restrict_file(&kept).map_err(at(&kept))?;
    SqliteStore::replace(&current, &new)?;
    remove_database(&new)?;
    home.note_upgrade(None)?;
    Ok(kept.display().to_string())
}

/// Removes a database of ours that is not in use, with all that belongs to it.
fn remove_database(file: &Path) -> Result<(), ServiceError> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let mut place = file.as_os_str().to_owned();
        place.push(suffix);
        match std::fs::remove_file(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(at(Path::new(&place))(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn put_on_server(
    home: &Home,
    backup: &Backup,
    server: &DatabaseServer,
    before: &Named,
    now: Time,
) -> Result<(), ServiceError> {
    if let Some(id) = backup.installation.as_ref().filter(|id| **id != before.installation) {
        return Err(ServiceError::usage(
            format!(
                "the backup is of installation {id}, and this home belongs to {}: it was activated as a copy since",
                before.installation
            ),
            "put back a backup that was taken since; nothing was changed",
        ));
    }
    let tables: Vec<BackedUp> =
        backup.tables.iter().map(|table| BackedUp { table: table.name.clone(), rows: table.rows }).collect();
    let epoch = home.note_put_back(now)?;
    server.options()?.restore(&backup.folder, backup.schema, &tables, ACTIVE, epoch)?;
    moving::switch(home, before, server, &before.installation)?;
    home.note_upgrade(None)?;
    // Nobody goes on in the one that was left. The home counts already: that it cannot be marked now is no failure.
    if let Err(error) = moving::mark_left(home, &now.to_string()) {
        tracing::warn!("the database that was left could not be marked yet: {error}");
    }
    Ok(())
}

fn hash(place: &Path) -> Result<(u64, String), ServiceError> {
    let mut file = File::open(place).map_err(at(place))?;
    let (mut digest, mut bytes, mut piece) = (Digest::new(&SHA256), 0u64, vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece).map_err(at(place))?;
        let Some(got) = piece.get(..read).filter(|got| !got.is_empty()) else { break };
        digest.update(got);
        bytes += read as u64;
    }
    Ok((bytes, ended(digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_from_before_an_activation_is_not_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let backup = Backup {
            folder: folder.path().to_owned(),
            form: FORM,
            kind: "server".to_owned(),
            program: "0".to_owned(),
            taken: "then".to_owned(),
            installation: Some("before".to_owned()),
            schema: 1,
            parts: Vec::new(),
            tables: Vec::new(),
        };
        let url = "postgres://a@localhost/b";
        let named =
            Named { url: url.to_owned(), installation: "now".to_owned(), password: None, joined: false };
        let home = Home::new(folder.path());
        let server = DatabaseServer::new(url, None);
        let refused = put_on_server(&home, &backup, &server, &named, Time::from_seconds(0)).unwrap_err();
        assert!(refused.to_string().contains("is of installation before"), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was changed");
    }
}
