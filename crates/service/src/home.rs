//! The home directory: the embedded database, or the name of one on a server; the key set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onesync_store::{InstallationRow, SchemaState, SqliteStore, Store, StoreError};
use onesync_vault::{Kek, KeySet, Vault, VaultError};

use crate::clock::Clock;
use crate::database::{
    DatabaseServer, EMBEDDED, EMBEDDED_FILE, Named, Opening, open as open_filled, open_new,
};
use crate::error::ServiceError;
use crate::flushed::write_flushed;
use crate::work::WorkLock;

/// The database while it is being made.
const UNFINISHED: &str = "onesync.db.new";
/// The name of a database on a server while that is being made.
pub(crate) const UNFINISHED_NAME: &str = "database.toml.new";

/// There while an upgrade has changed the schema and has not compared yet.
const UPGRADE: &str = "upgrade.unfinished";

/// The database, and the key set or why it is not there.
pub type OpenHome = (Arc<dyn Store>, Result<Vault, VaultError>);

/// Where the state of an installation lies.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
    /// Whether this is an upgrade, which may open what it has not finished.
    upgrading: bool,
}

impl Home {
    /// Names a home; nothing is touched yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), upgrading: false }
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

    /// The same home by its place: from the root on, since other programs hear of it, and where a link leads, which
    /// whoever owns a folder can turn elsewhere.
    ///
    /// # Errors
    /// When a link leads nowhere, or it is not known where one is.
    pub fn resolved(self) -> Result<Self, ServiceError> {
        if std::fs::symlink_metadata(&self.folder).is_err() {
            let folder = std::path::absolute(&self.folder)
                .map_err(|source| ServiceError::File { place: self.folder.display().to_string(), source })?;
            return Ok(Self { folder, ..self });
        }
        match std::fs::canonicalize(&self.folder) {
            Ok(folder) => Ok(Self { folder, ..self }),
            Err(source) => Err(ServiceError::usage(
                format!(
                    "{} is a link that leads nowhere, or cannot be seen: {source}",
                    self.folder.display()
                ),
                "name the folder itself with `--home`",
            )),
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The embedded database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join(EMBEDDED_FILE)
    }

    /// The key set.
    #[must_use]
    pub fn key_set(&self) -> PathBuf {
        self.folder.join("keyset.toml")
    }

    /// Whether an installation is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.database().exists() || Named::file(&self.folder).exists()
    }

    /// Makes a new installation: folder, key set, embedded database.
    ///
    /// # Errors
    /// When there is one already, or something cannot be written.
    pub fn create(&self, clock: &dyn Clock) -> Result<(), ServiceError> {
        self.create_on(None, clock)
    }

    /// Makes a new installation: folder, key set, database; that is the embedded one, or one on a server.
    ///
    /// # Errors
    /// When there is one already, in the home or in the database, or something cannot be written.
    pub fn create_on(&self, server: Option<&DatabaseServer>, clock: &dyn Clock) -> Result<(), ServiceError> {
        self.create_with(server, &Kek::default(), clock)
    }

    /// The same, with the key-encryption key from elsewhere.
    pub(crate) fn create_with(
        &self,
        server: Option<&DatabaseServer>,
        kek: &Kek,
        clock: &dyn Clock,
    ) -> Result<(), ServiceError> {
        self.must_be_free(None)?;
        server.map_or(Ok(()), DatabaseServer::check)?;
        self.make_folder()?;
        let _lock = WorkLock::take(&self.folder, "making the installation", clock.now())?;
        if !self.key_set().exists() {
            Vault::create(&self.key_set(), kek, &clock.now().to_string())?;
        }
        match server {
            None => self.create_embedded(clock),
            Some(server) => self.create_named(server, clock),
        }
    }

    /// The home names its database when that is whole, and before that in a file beside: whoever is killed in between
    /// finds the installation that is its own, and goes on.
    fn create_named(&self, server: &DatabaseServer, clock: &dyn Clock) -> Result<(), ServiceError> {
        let (file, unfinished) = (Named::file(&self.folder), self.folder.join(UNFINISHED_NAME));
        server.keep_password(&self.folder, None)?;
        let store = open_new(&self.folder, &server.url, server.password.as_ref(), Opening::Working)?;
        let there = store.reader()?.installation()?.map(|row| row.id);
        // The database may be named otherwise than before: the installation in it tells.
        let own = |named: &Named| {
            !named.joined && (named.url == server.url || there.as_ref() == Some(&named.installation))
        };
        let installation = match Named::read(&unfinished)?.filter(own) {
            Some(named) => named.installation,
            None => new_id()?,
        };
        let named = Named { url: server.url.clone(), installation, password: None, joined: false };
        named.write(&unfinished)?;
        match store.install(&first_row(named.installation.clone(), clock)) {
            Err(StoreError::Installed(id)) if id == named.installation => {}
            installed => installed?,
        }
        self.appear(&unfinished, &file)
    }

    /// Has this home join the installation that a database on a server holds: it gets the name of the database and its
    /// password, no key set, and is not active.
    ///
    /// # Errors
    /// When there is an installation already, the database holds another one, or something cannot be written.
    pub(crate) fn join(
        &self,
        server: &DatabaseServer,
        installation: &str,
        clock: &dyn Clock,
    ) -> Result<(), ServiceError> {
        self.must_be_free(Some(installation))?;
        self.make_folder()?;
        let _lock = WorkLock::take(&self.folder, "joining an installation", clock.now())?;
        let (file, unfinished) = (Named::file(&self.folder), self.folder.join(UNFINISHED_NAME));
        let (url, installation) = (server.url.clone(), installation.to_owned());
        // Whose file that names the database was lost goes on where it was.
        let joined = !self.has_taken(&installation)?;
        let named = Named { url, installation, password: None, joined };
        named.write(&unfinished)?;
        server.keep_password(&self.folder, None)?;
        named.check(&*named.open_new(&self.folder)?)?;
        self.appear(&unfinished, &file)
    }

    /// The installation of this home, where that has left the database which the home names, or that holds it no more.
    pub(crate) fn left_by(&self) -> Result<Option<String>, ServiceError> {
        match self.open_there() {
            // One that a later program works with was left, too, where an upgrade was put back.
            Err(ServiceError::Store(
                StoreError::Moved { .. }
                | StoreError::Newer { .. }
                | StoreError::NotInstalled
                | StoreError::NoDatabase { .. },
            )) => {}
            _ => return Ok(None),
        }
        match self.named()? {
            Some(named) => Ok(Some(named.installation)),
            None => self.belongs_to(),
        }
    }

    /// Has this home name the database that its installation is in now, in place of the one which that has left.
    pub(crate) fn follow(
        &self,
        server: &DatabaseServer,
        installation: &str,
        clock: &dyn Clock,
    ) -> Result<(), ServiceError> {
        let _lock = WorkLock::take(&self.folder, "following an installation", clock.now())?;
        let before = self.names()?;
        let (url, installation) = (server.url.clone(), installation.to_owned());
        let joined = !self.has_taken(&installation)?;
        let password = server.keep_password(&self.folder, before.as_ref())?;
        let named = Named { url, installation, password, joined };
        named.check(&*named.open(&self.folder, Opening::Working)?)?;
        let file = Named::file(&self.folder);
        named.write(&file).and_then(|()| {
            let folder = std::fs::File::open(&self.folder);
            folder
                .and_then(|folder| folder.sync_all())
                .map_err(|source| ServiceError::File { place: file.display().to_string(), source })
        })?;
        before.map_or(Ok(()), |before| before.forget_password(&self.folder, &named))
    }

    /// The database on a server that this home began to make an installation in.
    pub(crate) fn named_unfinished(&self) -> Result<Option<Named>, ServiceError> {
        Named::read(&self.folder.join(UNFINISHED_NAME))
    }

    /// The installation that this home belongs to, where nothing of its database is here any more.
    ///
    /// # Errors
    /// When a file that tells cannot be read.
    pub fn lost_installation(&self) -> Result<Option<String>, ServiceError> {
        if self.exists() || self.is_being_restored() || self.folder.join(UNFINISHED_NAME).exists() {
            return Ok(None);
        }
        self.belongs_to()
    }

    /// An error where nothing of the database is here any more; for whoever names the one on a server, only when it is another.
    pub(crate) fn must_have_its_database(&self, named: Option<&str>) -> Result<(), ServiceError> {
        let Some(id) = self.lost_installation()?.filter(|id| named != Some(id)) else { return Ok(()) };
        let place = self.folder.display();
        let file = self.database();
        Err(ServiceError::held(
            match named {
                None => format!("{place} belongs to installation {id}, whose database is not here"),
                Some(other) => {
                    format!("{place} belongs to installation {id}, and this is not its database: {other}")
                }
            },
            format!(
                "bring {} back, or put a backup back: `onesync restore FILE`; of a database on a server bring `database.toml` back, \
                 or name it: `onesync setup --database URL --database-password-file FILE`. For a new installation name another \
                 folder with `--home`",
                file.display()
            ),
        ))
    }

    /// What it means for a home that its database holds nothing, or is not there.
    pub(crate) fn of_lost(&self, error: ServiceError) -> ServiceError {
        let why = match &error {
            ServiceError::Store(StoreError::NotInstalled) => "it holds no installation",
            ServiceError::Store(StoreError::NoDatabase { why }) => why,
            _ => return error,
        };
        let (Ok(named), Ok(id)) = (self.named(), self.belongs_to()) else { return error };
        let (home, database) = (self.folder.display(), self.database());
        let Some(id) = named.as_ref().map(|named| named.installation.clone()).or(id) else {
            return ServiceError::usage(
                format!("{home} holds no installation: {} is empty", database.display()),
                "move that file away: then `onesync setup` makes one, or `onesync restore FILE` brings one back",
            );
        };
        let (place, file, to) = match &named {
            Some(named) => (named.place(&self.folder), Named::file(&self.folder), " --to URL"),
            None => (database.display().to_string(), database, ""),
        };
        let own = match (&named, place.starts_with("sqlserver://")) {
            (None, _) => "bring that file back",
            (_, false) => {
                "put it back with the tools of its server (`pg_restore`), and have the service stopped until that is done; where \
                 it has another place now: `onesync setup --database URL --database-password-file FILE`"
            }
            (_, true) => {
                "put it back with the tools of its server (`RESTORE DATABASE`); where it has another place now: `onesync setup \
                 --database URL --database-password-file FILE`; where only the user of the login is missing in it, `onesync \
                 setup --database-admin URL` makes that"
            }
        };
        ServiceError::held(
            format!("{home} belongs to installation {id}, whose database is not here: {place}: {why}"),
            format!(
                "nothing was made there: {own}. Or put a backup back: move {} away, then `onesync restore FILE{to}`. For a new \
                 installation name another folder with `--home`",
                file.display()
            ),
        )
    }

    fn must_be_free(&self, joins: Option<&str>) -> Result<(), ServiceError> {
        self.must_have_its_database(joins)?;
        if self.is_being_restored() {
            return Err(ServiceError::usage(
                format!("a restore into {} was not finished", self.folder.display()),
                "run the same `onesync restore` again: it goes on by itself; or name another folder with `--home`",
            ));
        }
        if self.exists() {
            return Err(ServiceError::usage(
                format!("{} already holds an installation", self.folder.display()),
                "name another folder with `--home`, or go on with this one",
            ));
        }
        Ok(())
    }

    /// Makes the folder, closed to others.
    /// An error where a file is in the place of its folder.
    pub(crate) fn must_be_no_file(&self) -> Result<(), ServiceError> {
        if std::fs::metadata(&self.folder).is_ok_and(|found| !found.is_dir()) {
            return Err(ServiceError::usage(
                format!("{} is a file, and no folder for an installation", self.folder.display()),
                "name a folder, which may be a new one, with `--home`",
            ));
        }
        Ok(())
    }

    pub(crate) fn make_folder(&self) -> Result<(), ServiceError> {
        self.must_be_no_file()?;
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| restrict(&self.folder))
            .map_err(|source| ServiceError::File { place: self.folder.display().to_string(), source })
    }

    fn create_embedded(&self, clock: &dyn Clock) -> Result<(), ServiceError> {
        let file_error =
            |place: &Path, source| ServiceError::File { place: place.display().to_string(), source };
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
        store.install(&first_row(new_id()?, clock))?;
        drop(store); // the log is brought over and removed
        restrict_file(&unfinished).map_err(|e| file_error(&unfinished, e))?;
        self.appear(&unfinished, &self.database())
    }

    /// Gives a file of the home its name.
    pub(crate) fn appear(&self, unfinished: &Path, file: &Path) -> Result<(), ServiceError> {
        let folder = std::fs::File::open(&self.folder);
        std::fs::rename(unfinished, file)
            .and_then(|()| folder?.sync_all()) // the name must survive a power failure too
            .map_err(|source| ServiceError::File { place: file.display().to_string(), source })
    }

    /// Opens the database and, where it is there, the key set.
    ///
    /// # Errors
    /// When there is no installation, or the database cannot be opened.
    pub fn open(&self) -> Result<OpenHome, ServiceError> {
        self.open_there().map_err(|error| self.of_lost(error))
    }

    /// The same for whoever can tell what a database that is not there means.
    pub(crate) fn open_there(&self) -> Result<OpenHome, ServiceError> {
        Ok((self.open_as_named()?.1, Vault::open(&self.key_set())))
    }

    /// Opens the database, and says how it is named.
    pub(crate) fn open_named(&self) -> Result<(Option<Named>, Arc<dyn Store>), ServiceError> {
        self.open_as_named().map_err(|error| self.of_lost(error))
    }

    fn open_as_named(&self) -> Result<(Option<Named>, Arc<dyn Store>), ServiceError> {
        self.end_move();
        let named = self.names()?;
        let state = self.schema_there()?;
        if state.is_older() {
            let SchemaState { found, known, .. } = state;
            return Err(ServiceError::held(
                format!("the database has schema version {found}, this program works with version {known}"),
                "`onesync upgrade check` shows what would change, `onesync upgrade` takes a backup and changes it; until then \
                 the program of that version goes on with it",
            ));
        }
        if !self.upgrading && self.folder.join(UPGRADE).exists() {
            return Err(ServiceError::held(
                "an upgrade has changed the database, and was cut short before it had compared what this program decides",
                "run `onesync upgrade` again: it goes on from there",
            ));
        }
        let store = self.migrate()?;
        // A takeover that was ended there may have given the installation another id.
        let now = self.names()?.filter(|now| named.as_ref().is_some_and(|named| named.url == now.url));
        Ok((now.or(named), store))
    }

    /// The same home for an upgrade, which may open what it has not finished.
    pub(crate) fn during_upgrade(&self) -> Self {
        Self { upgrading: true, ..self.clone() }
    }

    /// Notes, in a way that lasts, that an upgrade is under way, and where the backup is that it took, or that it has ended.
    pub(crate) fn note_upgrade(&self, under_way: Option<&str>) -> Result<(), ServiceError> {
        let file = self.folder.join(UPGRADE);
        let noted = match under_way {
            Some(backup) => write_flushed(&file, backup),
            None => match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        noted
            .and_then(|()| std::fs::File::open(&self.folder)?.sync_all())
            .map_err(|source| ServiceError::File { place: file.display().to_string(), source })
    }

    /// Where the backup is of an upgrade that was cut short.
    pub(crate) fn backup_of_upgrade(&self) -> Option<PathBuf> {
        let noted = std::fs::read_to_string(self.folder.join(UPGRADE)).ok()?;
        (!noted.is_empty()).then(|| self.folder.join(noted))
    }

    /// How far the schema of the database is; nothing is changed.
    ///
    /// # Errors
    /// When there is no installation, or the database cannot be read, is newer than this program, or was made by a
    /// modified one.
    pub fn schema(&self) -> Result<SchemaState, ServiceError> {
        self.schema_there().map_err(|error| self.of_lost(error))
    }

    fn schema_there(&self) -> Result<SchemaState, ServiceError> {
        let state = match self.named()? {
            Some(named) => named.schema(&self.folder)?,
            None => SqliteStore::schema(&self.embedded()?)?,
        };
        match state.found {
            0 => Err(StoreError::NotInstalled.into()),
            _ => Ok(state),
        }
    }

    /// Opens the database, and brings its schema up to date; an empty one gets none.
    pub(crate) fn migrate(&self) -> Result<Arc<dyn Store>, ServiceError> {
        self.arrive(&self.switched())?;
        match self.named()? {
            Some(named) => {
                let store = named.open(&self.folder, Opening::Working)?;
                self.end_takeover(&*store)?;
                self.renamed(self.named()?.unwrap_or(named), &*store)?.check(&*store)?;
                Ok(store)
            }
            None => {
                self.embedded()?;
                let store = open_filled(&self.folder, EMBEDDED, None, Opening::Working)?;
                let there = store.reader()?.installation()?;
                there.map(|_| store).ok_or_else(|| StoreError::NotInstalled.into())
            }
        }
    }

    /// The name of a database whose installation got another id since, when a server activated it as a copy.
    fn renamed(&self, named: Named, store: &dyn Store) -> Result<Named, ServiceError> {
        let reader = store.reader()?;
        let there = reader.installation()?.map(|row| row.id);
        let Some(installation) = there.filter(|id| *id != named.installation) else { return Ok(named) };
        if !crate::copy::former_ids(&*reader)?.contains(&named.installation) {
            return Ok(named);
        }
        let named = Named { installation, ..named };
        named.write(&Named::file(&self.folder))?;
        Ok(named)
    }

    /// The database that the home names; where it names none, the embedded one.
    pub(crate) fn names(&self) -> Result<Option<Named>, ServiceError> {
        Named::read(&Named::file(&self.folder))
    }

    /// The database on a server, where the home names one.
    pub(crate) fn named(&self) -> Result<Option<Named>, ServiceError> {
        Ok(self.names()?.filter(|named| named.url != EMBEDDED))
    }

    /// Where the database lies, for people.
    pub(crate) fn place(&self) -> Result<String, ServiceError> {
        Ok(self.named()?.map_or_else(|| self.database().display().to_string(), |named| named.url))
    }

    /// The embedded database, which must be there.
    fn embedded(&self) -> Result<PathBuf, ServiceError> {
        let database = self.database();
        match database.try_exists() {
            Ok(true) => Ok(database),
            Ok(false) if self.is_being_restored() => Err(ServiceError::held(
                format!(
                    "a restore into {} was not finished: it holds no installation yet",
                    self.folder.display()
                ),
                "run the same `onesync restore` again: it goes on by itself",
            )),
            Ok(false) => {
                self.must_have_its_database(None)?;
                Err(ServiceError::usage(
                    format!("{} holds no installation", self.folder.display()),
                    "`onesync setup` makes one, and `onesync config apply FOLDER` does; or name another folder with `--home`",
                ))
            }
            Err(source) => Err(ServiceError::File { place: database.display().to_string(), source }),
        }
    }

    /// Copies the embedded database, of whatever version, and the key set into the folder of another home.
    pub(crate) fn copy_as_it_is(&self, folder: &Path) -> Result<(), ServiceError> {
        let copy = Self::new(folder);
        SqliteStore::copy_as_it_is(&self.embedded()?, &copy.database())?;
        if self.key_set().exists() {
            KeySet::copy(&self.key_set(), &copy.key_set())?;
        }
        Ok(())
    }
}

pub(crate) fn new_id() -> Result<String, ServiceError> {
    let mut id = [0u8; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| VaultError::Random)?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn first_row(id: String, clock: &dyn Clock) -> InstallationRow {
    InstallationRow { id, epoch: 1, staging: false, created: clock.now() }
}

#[cfg(unix)]
pub(crate) fn restrict(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(unix)]
pub(crate) fn restrict_file(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    no_link().read(true).open(file)?.set_permissions(std::fs::Permissions::from_mode(0o600))
}

/// How root opens files of a home that belongs to another user: never through a link, which may lead anywhere.
#[cfg(unix)]
pub(crate) fn no_link() -> std::fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_is_still_to_be_made_has_a_place_from_the_root_on() {
        let home = Home::new("no-such-folder/home").resolved().unwrap();
        assert!(home.folder().is_absolute() && home.folder().ends_with("no-such-folder/home"), "{home:?}");
    }
}
