//! `db move`: everything of the installation into another database, while the service runs.
//!
//! Most is copied while cycles go on. Then nobody may write: the lock of the home is taken (a cycle under way is waited
//! for), the epoch is raised (whoever has the database open is fenced), what has changed is brought, and both sides are read and
//! compared. `database.toml` is what counts: when it is renamed, the other database is the one. Killed before that, the
//! old one works as before; killed after it, the new one does, and both are marked by whoever opens the home next. Until it
//! is renamed the other one is marked as being filled: never is there an instant at which both can be opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use onesync_model::Time;
use onesync_store::{
    MOVE_MARK, MoveMark, ServiceChanges, SqliteStore, Store, StoreError, TableHash, fill, settle,
};
use serde::Serialize;

use crate::Home;
use crate::clock::Clock;
use crate::database::{DatabaseServer, EMBEDDED, Named, Opening, open_new, place};
use crate::error::ServiceError;
use crate::events;
use crate::home::restrict_file;
use crate::standing::{RESTART, ServerFile, Standing};
use crate::work::{WorkLock, is_locked};

/// The lock of the one move.
const LOCK: &str = "move.lock";
/// The name of the new database before it counts.
const UNFINISHED: &str = "database.toml.new";
/// The name of the old one until it is marked.
const LEFT: &str = "database.left.toml";

/// How far a move is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moving {
    /// Rows are copied while the service goes on: the table, and how many of it.
    Copying(&'static str, u64),
    /// All is copied once; somebody works, and is waited for.
    Waiting(String),
    /// Nobody may write; what has changed is brought, and all is compared: the table, and how many rows of it.
    Comparing(&'static str, u64),
}

/// What a move did.
#[derive(Clone, Debug, Serialize)]
pub struct MoveReport {
    /// Where the database was.
    pub from: String,
    /// Where it is.
    pub to: String,
    /// Rows.
    pub rows: u64,
    /// Rows that changed while they were copied.
    pub changed: u64,
    /// What was compared.
    pub tables: Vec<MovedTable>,
    /// Time of the first copy, during which cycles could run.
    pub copying_seconds: f64,
    /// Time during which nobody could write.
    pub fenced_seconds: f64,
    /// Why the databases could not be marked yet; they are when the home is opened next.
    pub not_marked: Option<String>,
    /// Why the move is not among the events.
    pub not_noted: Option<String>,
}

/// One table, the same on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct MovedTable {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// The sum of the hashes of its rows, read from both sides.
    pub hash: String,
}

impl From<&TableHash> for MovedTable {
    fn from(table: &TableHash) -> Self {
        Self { table: table.table, rows: table.rows, hash: table.hash.to_string() }
    }
}

impl Home {
    /// Whether a move is under way.
    pub(crate) fn is_moving(&self) -> bool {
        is_locked(self.folder(), LOCK)
    }

    /// The standing to work with. While a move is under way it is one whose epoch is refused, with words, whoever opens the
    /// database then.
    pub(crate) fn during_move(
        &self,
        store: &dyn Store,
        standing: Standing,
    ) -> Result<Standing, ServiceError> {
        let Standing::Active { server, epoch } = standing else { return Ok(standing) };
        let leaves =
            matches!(MoveMark::of(store)?, Some(MoveMark::Leaving { epoch: theirs, .. }) if theirs == epoch);
        let epoch = if leaves && self.is_moving() { epoch.saturating_sub(1) } else { epoch };
        Ok(Standing::Active { server, epoch })
    }

    /// Marks the database that was left, when a move was killed before it could. That it cannot be now is no reason not to
    /// work with the new one.
    pub(crate) fn end_move(&self) {
        if !self.folder().join(LEFT).exists() || self.is_moving() {
            return;
        }
        let mark = || {
            // To mark it is to change its schema, which only an upgrade may; after that it is the turn of these marks.
            if self.schema()?.is_older() {
                return Ok(());
            }
            let when = self.switched();
            self.arrive(&when)?;
            mark_left(self, &when)
        };
        if let Err(error) = mark() {
            tracing::warn!("the database that was moved away from could not be marked yet: {error}");
        }
    }

    /// When the home got the name of its database, for people.
    pub(crate) fn switched(&self) -> String {
        let changed = std::fs::metadata(Named::file(self.folder())).and_then(|file| file.modified()).ok();
        let time = changed.and_then(|time| jiff::Timestamp::try_from(time).ok());
        time.map_or_else(|| "unknown".to_owned(), |time| Time::from_jiff(time).to_string())
    }

    /// Marks the database that the home names as one that the installation has come to, when a move was killed between its
    /// last step and that mark.
    pub(crate) fn arrive(&self, when: &str) -> Result<(), ServiceError> {
        let Some(left) = Named::read(&self.folder().join(LEFT))? else { return Ok(()) };
        let now = self.named_or_embedded(&left.installation)?;
        // The file beside is written before the home names the other database.
        if now.url == left.url {
            return Ok(());
        }
        let store = now.open(self.folder(), Opening::Any)?;
        match MoveMark::of(&*store)? {
            Some(MoveMark::Filling { installation }) if installation == now.installation => {
                let mark = MoveMark::Arrived { when: when.to_owned(), from: left.place(self.folder()) };
                Ok(store.bulk()?.set(MOVE_MARK, &mark.text())?)
            }
            _ => Ok(()),
        }
    }

    fn named_or_embedded(&self, installation: &str) -> Result<Named, ServiceError> {
        let embedded = || Named {
            url: EMBEDDED.to_owned(),
            installation: installation.to_owned(),
            password: None,
            joined: false,
        };
        Ok(self.names()?.unwrap_or_else(embedded))
    }
}

/// Marks the database in the file of the one that was left, if it is not the one that counts.
pub(crate) fn mark_left(home: &Home, when: &str) -> Result<(), ServiceError> {
    let (folder, file) = (home.folder(), home.folder().join(LEFT));
    let Some(left) = Named::read(&file)? else { return Ok(()) };
    let now = home.named_or_embedded(&left.installation)?;
    if now.url != left.url {
        match left.open(folder, Opening::Any) {
            Ok(store) => {
                let there = store.reader()?.installation()?;
                if let Some(there) = there.filter(|there| there.id == left.installation) {
                    let mark = MoveMark::Moved { when: when.to_owned(), to: now.place(folder) };
                    store.bulk()?.set(MOVE_MARK, &mark.text())?;
                    store.take_epoch(there.epoch)?;
                }
            }
            // Taken away since: nobody can work with it.
            Err(ServiceError::Store(StoreError::NotInstalled)) => {}
            Err(error) => return Err(error),
        }
        left.forget_password(folder, &now)?;
    }
    std::fs::remove_file(&file).map_err(file_error(&file))
}

fn file_error(place: &Path) -> impl Fn(std::io::Error) -> ServiceError + '_ {
    move |source| ServiceError::File { place: place.display().to_string(), source }
}

/// Moves the installation of a home into another database.
///
/// # Errors
/// When the other database holds something, is out of reach or has no room, or `stop` gives why it is to end. The
/// database works as before then, and the move can be begun again.
pub fn move_database(
    home: &Home,
    clock: &dyn Clock,
    target: &DatabaseServer,
    tell: &(dyn Fn(Moving) + Sync),
    stop: &(dyn Fn() -> Option<String> + Sync),
) -> Result<MoveReport, ServiceError> {
    target.check()?;
    home.must_not_be_joined()?;
    let folder = home.folder();
    let (_, from) = home.open_named()?;
    home.standing(&*from)?.must_be_active()?;
    let installation = from.reader()?.installation()?.ok_or(StoreError::NotInstalled)?.id;
    let _lock = WorkLock::take_file(folder, LOCK, "db move", clock.now())?;
    let old = home.named_or_embedded(&installation)?;
    // What an earlier move left open comes first: its database must not be written to as if it were new.
    mark_left(home, &clock.now().to_string())?;
    if old.url == target.url {
        return Err(ServiceError::usage(
            format!("the database is there already: {}", old.place(folder)),
            "`onesync db status` says more about it",
        ));
    }
    let to = prepare(folder, target, &installation)?;
    let checked = |moving: Moving| match stop() {
        Some(why) => Err(StoreError::Database { doing: "moving the database", message: why }),
        None => {
            tell(moving);
            Ok(())
        }
    };
    let began = Instant::now();
    {
        let (mut source, mut target) = (from.bulk()?, to.bulk()?);
        target.set(MOVE_MARK, &MoveMark::Filling { installation: installation.clone() }.text())?;
        fill(&mut *source, &mut *target, &|table, rows| checked(Moving::Copying(table, rows)))?;
    }
    let copying_seconds = began.elapsed().as_secs_f64();
    let _work = WorkLock::take_when_idle(folder, "db move", clock, &mut |who| {
        tell(Moving::Waiting(who.to_owned()));
        stop().map_or(Ok(()), |why| Err(ServiceError::Stopped { why }))
    })?;
    let began = Instant::now();
    let epoch = from.reader()?.installation()?.ok_or(StoreError::NotInstalled)?.epoch;
    let there = place(folder, &target.url);
    from.bulk()?.set(MOVE_MARK, &MoveMark::Leaving { epoch: epoch + 1, to: there.clone() }.text())?;
    if let Err(error) = home.take_over(&*from, epoch, None, clock.now()) {
        // Another server was faster, or the database failed: nothing leaves.
        from.bulk()?.set(MOVE_MARK, &MoveMark::Stayed { epoch: epoch + 1, to: there }.text())?;
        return Err(error);
    }
    let switched = (|| {
        let tables = {
            let (mut source, mut target) = (from.bulk()?, to.bulk()?);
            settle(&mut *source, &mut *target, &|table, rows| checked(Moving::Comparing(table, rows)))?
        };
        // Who holds the epoch is not among what is moved.
        if let Some(file) = ServerFile::read(home)? {
            to.enrol(&file.row("active", RESTART))?;
        }
        let switched = switch(home, &old, target, &installation);
        // Renamed, but not certain to be so after a power failure: it counts, and nothing is marked as if it could not be
        // otherwise. Whoever opens the home next does that.
        let renamed = matches!(home.names(), Ok(Some(now)) if now.url == target.url);
        match switched {
            Err(error) if renamed => Ok((tables, Err(error))),
            switched => switched.map(|()| (tables, Ok(()))),
        }
    })();
    let (tables, switched): (Vec<TableHash>, _) = match switched {
        Ok(switched) => switched,
        Err(error) => {
            // The epoch stays raised; whoever opens the database anew has it.
            from.bulk()?.set(MOVE_MARK, &MoveMark::Stayed { epoch: epoch + 1, to: there }.text())?;
            return Err(error);
        }
    };
    // From here on the other one counts, and nothing makes the move one that failed.
    let when = clock.now().to_string();
    let marked = switched.and_then(|()| home.arrive(&when)).and_then(|()| mark_left(home, &when));
    let fenced_seconds = began.elapsed().as_secs_f64();
    let from_there = format!("from {}", old.place(folder));
    let event = events::row(clock.now(), &events::DATABASE_MOVED, &there, &from_there);
    let changes = ServiceChanges { events: vec![event], ..ServiceChanges::default() };
    let noted = events::record(&*to, epoch + 1, &changes);
    Ok(MoveReport {
        from: old.place(folder),
        to: there,
        rows: tables.iter().map(|table| table.rows).sum(),
        // The epoch is the move's own change.
        changed: tables.iter().filter(|table| table.table != "installation").map(|table| table.changed).sum(),
        tables: tables.iter().map(MovedTable::from).collect(),
        copying_seconds,
        fenced_seconds,
        not_marked: marked.err().map(|error| error.to_string()),
        not_noted: noted.err().map(|error| error.to_string()),
    })
}

/// Opens the database that is to be filled; one that holds anything but a move of this installation that was cut off is
/// refused.
fn prepare(
    folder: &Path,
    target: &DatabaseServer,
    installation: &str,
) -> Result<Arc<dyn Store>, ServiceError> {
    let file = folder.join(crate::database::EMBEDDED_FILE);
    let there = place(folder, &target.url);
    let fresh = target.url == EMBEDDED && !file.exists();
    let store = open_new(folder, &target.url, target.password.as_ref(), Opening::Any)?;
    let holds = store.reader()?.installation()?.map(|row| row.id);
    let remedy = match target.url.as_str() {
        EMBEDDED => {
            format!("move the file away (with its `-wal`) if you want the embedded database again: `{there}`")
        }
        _ => "name an empty database, or drop this one and create it anew".to_owned(),
    };
    match (MoveMark::of(&*store)?, holds) {
        (Some(MoveMark::Moved { when, to }), _) => {
            return Err(ServiceError::usage(
                format!(
                    "{there} is a database that this or another installation left at {when}, for {to}: it is kept as it was then"
                ),
                remedy,
            ));
        }
        // A move that was cut off. One that came to its end is never cleared: its mark stays for ever, and whoever comes
        // with another copy of the home would write old rows over what is worked with.
        (Some(MoveMark::Filling { installation: theirs }), _) if theirs == installation => {}
        (None, None) => {}
        (_, Some(id)) if id == installation => {
            let message = format!(
                "{there} holds this very installation, which another copy of this home may be working with: nothing was \
                 changed there"
            );
            return Err(ServiceError::usage(
                message,
                "go on with that home, and keep this one from running; if nothing else uses that database, drop it and create it anew",
            ));
        }
        (_, Some(id)) => {
            let message = format!("{there} holds installation {id}: nothing was changed there");
            return Err(ServiceError::usage(message, remedy));
        }
        (Some(_), None) => {
            let message = format!("{there} is being filled by another installation");
            return Err(ServiceError::usage(message, remedy));
        }
    }
    if target.url != EMBEDDED {
        return Ok(store);
    }
    if !fresh {
        drop(store);
        for suffix in ["", "-wal", "-shm"] {
            let file = PathBuf::from(format!("{}{suffix}", file.display()));
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(file_error(&file)(error));
                }
                _ => {}
            }
        }
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open_any(&file)?);
        restrict_file(&file).map_err(file_error(&file))?;
        return Ok(store);
    }
    restrict_file(&file).map_err(file_error(&file))?;
    Ok(store)
}

/// The instant from which the other database counts.
pub(crate) fn switch(
    home: &Home,
    old: &Named,
    target: &DatabaseServer,
    installation: &str,
) -> Result<(), ServiceError> {
    let folder = home.folder();
    let password = target.keep_password(folder, Some(old))?;
    let (url, installation) = (target.url.clone(), installation.to_owned());
    let new = Named { url, installation, password, joined: false };
    old.write(&folder.join(LEFT))?;
    let unfinished = folder.join(UNFINISHED);
    new.write(&unfinished)?;
    home.appear(&unfinished, &Named::file(folder))
}
