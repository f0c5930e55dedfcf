//! Which server this home is, and whether it may write: `server.toml` in the home, beside what the database says.
//!
//! A service works with the epoch of its *home*. What the database says is compared with it and never taken for it: an old
//! server that comes back would else take the new epoch with it. Whoever takes over notes in the home first which epoch it
//! is about to take; killed at any point, the next one who opens the home sees in the database whether it was taken, and by
//! whom. Deliberately absent: clocks of servers. What is compared is epochs, and times of the database's own clock.

use std::path::PathBuf;
use std::time::Duration;

use onesync_model::Time;
use onesync_store::{ServerRow, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::Home;
use crate::account;
use crate::database::Named;
use crate::error::{JOINED, ServiceError};
use crate::flushed::write_flushed;
use crate::home::new_id;
use crate::process;

/// For how long a server that serves is not to be taken for gone after it was seen.
pub(crate) const LEASE: Duration = Duration::from_secs(15);
/// The same for one that ended by itself, or that works without its daemon: it has time to begin again.
pub(crate) const RESTART: Duration = Duration::from_secs(120);
/// What a server says of itself that stands by begins so.
pub(crate) const STANDBY: &str = "standby ";
/// What a server says of itself when its daemon ends.
pub(crate) const STOPPED: &str = "stopped";

/// What a server says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerFacts {
    /// The name of its machine.
    pub host: String,
    /// The address by which it reaches others.
    pub address: Option<String>,
    /// The account of the program.
    pub user: String,
    /// The program's version.
    pub program: String,
    /// `active`, `stopped`, or how it waits: `standby manual`, `standby automatic`.
    pub mode: String,
    /// When it took its epoch, by its clock: for people.
    pub taken: Option<String>,
    /// Whether it stands by when it is not the active one: `off`, `manual`, `automatic`; nothing from an older program.
    pub standby: String,
    /// What keeps it from taking over, while it stands by.
    pub unfit: Option<String>,
}

/// A server of this database.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ServerView {
    /// Its id.
    pub id: String,
    /// The epoch that it took last; 0 for none.
    pub epoch: u64,
    /// Whether it is the active one.
    pub active: bool,
    /// Whether it is this one.
    pub here: bool,
    /// When it was seen last, by the database's clock.
    pub seen: String,
    /// How long ago that is, by the same clock.
    pub seconds_ago: u64,
    /// What it says of itself.
    pub facts: ServerFacts,
}

impl ServerView {
    fn of(row: ServerRow, now: Time, active: u64, here: &str) -> Self {
        let ago = u64::try_from(now.ticks().saturating_sub(row.seen.ticks())).unwrap_or_default();
        Self {
            active: row.epoch == active,
            here: row.id == here,
            epoch: row.epoch,
            seen: row.seen.to_string(),
            seconds_ago: ago / 10_000_000,
            // What another version wrote differently says nothing.
            facts: serde_json::from_str(&row.facts).unwrap_or_default(),
            id: row.id,
        }
    }

    /// Whether its daemon has ended by itself, and nothing works there since.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.facts.mode == STOPPED
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        if self.facts.host.is_empty() { &self.id } else { &self.facts.host }
    }

    /// Whether it stands by for the active one.
    #[must_use]
    pub fn stands_by(&self) -> bool {
        self.facts.mode.starts_with(STANDBY)
    }

    /// Whether its daemon was seen a moment ago.
    pub(crate) fn is_there(&self) -> bool {
        !self.is_stopped() && Duration::from_secs(self.seconds_ago) <= LEASE
    }

    /// Whether it takes over by itself from a server that is gone, also where it is the active one itself now.
    pub(crate) fn would_take_over(&self) -> bool {
        self.facts.standby == StandbyMode::Automatic.as_str() && self.facts.unfit.is_none() && self.is_there()
    }

    /// What keeps it from taking over, while it stands by and its daemon runs or has a moment to begin again.
    pub(crate) fn is_unfit(&self) -> Option<&str> {
        let lately = Duration::from_secs(self.seconds_ago) <= RESTART;
        self.facts.unfit.as_deref().filter(|_| self.stands_by() && lately)
    }

    /// The server in words: its name, last seen when, at which address.
    #[must_use]
    pub fn words(&self) -> String {
        let host = self.name();
        let address = self.facts.address.as_ref().map_or(String::new(), |at| format!(", at address {at}"));
        format!("{host} (last seen {} seconds ago{address})", self.seconds_ago)
    }
}

/// Where this server stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It holds the epoch of the database.
    Active {
        /// Its id; empty for a copy for what-if, which stands for the installation.
        server: String,
        /// The epoch.
        epoch: u64,
    },
    /// It never took an epoch: it looks, or stands by.
    Joined {
        /// Its id.
        server: String,
        /// The installation.
        installation: String,
    },
    /// Another one took its place.
    Replaced {
        /// Its id.
        server: String,
        /// The epoch it took last.
        epoch: u64,
        /// The one of the database.
        theirs: u64,
        /// Who took it, where it said so.
        by: Option<Box<ServerView>>,
    },
    /// The database knows less than this home: it was brought back from before, or is another one.
    Behind {
        /// Its id.
        server: String,
        /// In words.
        what: String,
    },
}

impl Standing {
    /// The epoch to write with. No database is ever at 0: whatever would be written is refused by the database itself.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Active { epoch, .. } => *epoch,
            _ => 0,
        }
    }

    /// The id of this server.
    #[must_use]
    pub fn server(&self) -> &str {
        match self {
            Self::Active { server, .. }
            | Self::Joined { server, .. }
            | Self::Replaced { server, .. }
            | Self::Behind { server, .. } => server,
        }
    }

    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Active { .. } => "active",
            Self::Joined { .. } => "joined",
            Self::Replaced { .. } => "replaced",
            Self::Behind { .. } => "behind",
        }
    }

    /// An error when this server may not write: who may, and what can be done.
    ///
    /// # Errors
    /// [`crate::Status::Held`] when it may not.
    pub fn must_be_active(&self) -> Result<(), ServiceError> {
        match self {
            Self::Active { .. } => Ok(()),
            Self::Joined { installation, .. } => Err(joined(installation)),
            Self::Replaced { epoch, theirs, by, .. } => {
                let who = by.as_ref().map_or_else(|| "another server".to_owned(), |by| by.words());
                let when = by.as_ref().and_then(|by| by.facts.taken.as_ref());
                let when = when.map_or(String::new(), |when| format!(" at {when}"));
                Err(ServiceError::held(
                    format!(
                        "this server was replaced: {who} took epoch {theirs}{when}, this one holds epoch {epoch}. It is not \
                         active: it looks, and changes nothing"
                    ),
                    "work goes on there. `onesync activate` makes this one the active server again, in the place of that one",
                ))
            }
            Self::Behind { what, .. } => Err(behind(what)),
        }
    }
}

/// What a server says whose database knows less than it does.
pub(crate) fn behind(what: &str) -> ServiceError {
    ServiceError::held(
        format!("{what}. This server is not active: it looks, and changes nothing"),
        "when the database was brought back on purpose, `onesync activate` goes on with it as it is; else name the right one in \
         `database.toml`, or the right home with `--home`",
    )
}

/// What a server says that has only joined a database.
fn joined(installation: &str) -> ServiceError {
    ServiceError::held(
        format!(
            "this server has joined the database of installation {installation} and is not active: it looks, and changes nothing"
        ),
        JOINED,
    )
}

/// What a server does that is not the active one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StandbyMode {
    /// It only looks.
    #[default]
    Off,
    /// It is ready, and waits for a person.
    Manual,
    /// It takes over when the active one is gone.
    Automatic,
}

impl StandbyMode {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }
}

/// `server.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ServerFile {
    /// The id of this server.
    pub(crate) server: String,
    /// The installation whose epoch it took.
    pub(crate) installation: String,
    /// The epoch it took last; 0 when it never took any.
    pub(crate) epoch: u64,
    #[serde(default)]
    pub(crate) standby: StandbyMode,
    /// When it took it, by its own clock: for people.
    #[serde(default)]
    taken: Option<String>,
    /// The epoch that is being taken, or was when a process was killed.
    #[serde(default)]
    taking: Option<u64>,
    /// The id that the installation has from then on.
    #[serde(default)]
    taking_installation: Option<String>,
}

impl ServerFile {
    fn path(home: &Home) -> PathBuf {
        home.folder().join("server.toml")
    }

    /// Reads it; `None` where there is none.
    pub(crate) fn read(home: &Home) -> Result<Option<Self>, ServiceError> {
        let path = Self::path(home);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ServiceError::File { place: path.display().to_string(), source }),
        };
        toml::from_str(&text).map(Some).map_err(|error| {
            ServiceError::usage(
                format!("{} cannot be read: {}", path.display(), error.message()),
                "bring it back from a backup of the home. Without it this server is not known to be the active one: move the \
                 file away, and take its place anew with `onesync activate`",
            )
        })
    }

    fn write(&self, home: &Home) -> Result<(), ServiceError> {
        let text = |text: &str| toml::Value::String(text.to_owned());
        let mut lines = vec![
            "# Which server this is, and which epoch it has taken. Not for another machine.".to_owned(),
            format!("server = {}", text(&self.server)),
            format!("installation = {}", text(&self.installation)),
            format!("epoch = {}", self.epoch),
            format!("standby = {}", text(self.standby.as_str())),
        ];
        lines.extend(self.taken.as_ref().map(|when| format!("taken = {}", text(when))));
        lines.extend(self.taking.map(|epoch| format!("taking = {epoch}")));
        lines.extend(
            self.taking_installation.as_ref().map(|id| format!("taking-installation = {}", text(id))),
        );
        let path = Self::path(home);
        let written = write_flushed(&path, &(lines.join("\n") + "\n"))
            .and_then(|()| std::fs::File::open(home.folder())?.sync_all()); // the name must survive a power failure too
        written.map_err(|source| ServiceError::File { place: path.display().to_string(), source })
    }

    /// What is noted of this server in the database.
    pub(crate) fn row(&self, mode: &str, lease: Duration) -> ServerRow {
        self.row_with(mode, None, lease)
    }

    /// The same, with what keeps it from taking over.
    pub(crate) fn row_with(&self, mode: &str, unfit: Option<String>, lease: Duration) -> ServerRow {
        let facts = ServerFacts {
            host: process::host(),
            address: address(),
            user: account::who(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            mode: mode.to_owned(),
            taken: self.taken.clone(),
            standby: self.standby.as_str().to_owned(),
            unfit,
        };
        ServerRow {
            id: self.server.clone(),
            epoch: self.epoch,
            lease,
            facts: serde_json::to_string(&facts).unwrap_or_default(),
            ..ServerRow::default()
        }
    }
}

/// The address by which this machine reaches others. Nothing is sent: the system only chooses.
fn address() -> Option<String> {
    // One of the addresses that are given to nobody (RFC 5737).
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

impl Home {
    /// Whether this home never took an epoch, as far as the home itself knows.
    ///
    /// # Errors
    /// When a file that says so cannot be read.
    pub fn is_joined(&self) -> Result<bool, ServiceError> {
        Ok(match ServerFile::read(self)? {
            Some(file) => file.epoch == 0,
            None => self.named()?.is_some_and(|named| named.joined),
        })
    }

    /// The installation that this home belongs to, as far as what lies beside its database tells.
    pub(crate) fn belongs_to(&self) -> Result<Option<String>, ServiceError> {
        match ServerFile::read(self)? {
            Some(file) => Ok(Some(file.installation)),
            None => self.seen_installation(),
        }
    }

    /// Whether this home has taken an epoch of an installation.
    pub(crate) fn has_taken(&self, installation: &str) -> Result<bool, ServiceError> {
        let file = ServerFile::read(self)?;
        Ok(file.is_some_and(|file| file.installation == installation && file.epoch > 0))
    }

    /// An error when this home has only joined an installation, as far as the home itself knows.
    pub(crate) fn must_not_be_joined(&self) -> Result<(), ServiceError> {
        match self.named()?.filter(|_| self.is_joined().unwrap_or(true)) {
            None => Ok(()),
            Some(named) => Err(joined(&named.installation)),
        }
    }

    /// Where this server stands in a database. A home without `server.toml`, of an older program or a new one, gets one: it
    /// has the epoch of the database unless another server holds that.
    pub(crate) fn standing(&self, store: &dyn Store) -> Result<Standing, ServiceError> {
        let lease = store.lease()?;
        if !self.exists() {
            return Ok(Standing::Active { server: String::new(), epoch: lease.epoch });
        }
        let there = store.reader()?.installation()?.ok_or(StoreError::NotInstalled)?.id;
        let file = match self.end_takeover(store)? {
            Some(file) => file,
            None => {
                let joined = lease.holder.is_some() || self.named()?.is_some_and(|named| named.joined);
                self.new_file(there.clone(), if joined { 0 } else { lease.epoch })?
            }
        };
        let ServerFile { server, epoch, installation, .. } = file.clone();
        let theirs = lease.epoch;
        if epoch == 0 {
            return Ok(Standing::Joined { server, installation: there });
        }
        if installation != there {
            let what =
                format!("this home belongs to installation {installation}, its database holds {there}");
            return Ok(Standing::Behind { server, what });
        }
        if epoch > theirs {
            let what = format!(
                "the database is at epoch {theirs}, and this server has taken epoch {epoch} there: it was brought back from before \
                 that"
            );
            return Ok(Standing::Behind { server, what });
        }
        // Where another one took this very epoch, in a database that was put back, this one was replaced.
        if epoch == theirs
            && (lease.holder.is_none() || lease.is_of(&server))
            && let Some(what) = self.missed(store, &there, &lease)?
        {
            return Ok(Standing::Behind { server, what });
        }
        if epoch == theirs && lease.holder.is_none() {
            match store.enrol(&file.row("active", RESTART)) {
                Err(StoreError::Conflict(_)) => {}
                enrolled => {
                    enrolled?;
                    return Ok(Standing::Active { server, epoch });
                }
            }
        }
        if epoch == theirs && lease.is_of(&server) {
            return Ok(Standing::Active { server, epoch });
        }
        let by = servers(store, &server)?.into_iter().find(|view| view.active).map(Box::new);
        Ok(Standing::Replaced { server, epoch, theirs, by })
    }

    fn new_file(&self, installation: String, epoch: u64) -> Result<ServerFile, ServiceError> {
        let file = ServerFile {
            server: new_id()?,
            installation,
            epoch,
            standby: StandbyMode::Off,
            taken: None,
            taking: None,
            taking_installation: None,
        };
        file.write(self)?;
        Ok(file)
    }

    /// The file; one that a takeover was begun with counts as taken when the database says so.
    pub(crate) fn end_takeover(&self, store: &dyn Store) -> Result<Option<ServerFile>, ServiceError> {
        let Some(file) = ServerFile::read(self)? else { return Ok(None) };
        let Some(taking) = file.taking else { return Ok(Some(file)) };
        let lease = store.lease()?;
        let there = store.reader()?.installation()?.map(|row| row.id);
        // Nobody says that it holds it: the database was put back with this epoch.
        let ours = lease.holder.is_none() || lease.is_of(&file.server);
        if lease.epoch != taking
            || !ours
            || file.taking_installation.is_some() && file.taking_installation != there
        {
            // Not taken, or not yet: another process may be about to.
            return Ok(Some(file));
        }
        self.taken(file).map(Some)
    }

    /// The home has what it noted that it would take.
    fn taken(&self, file: ServerFile) -> Result<ServerFile, ServiceError> {
        let installation = file.taking_installation.clone().unwrap_or_else(|| file.installation.clone());
        if let Some(named) = self.names()?.filter(|named| named.installation != installation) {
            Named { installation: installation.clone(), ..named }.write(&Named::file(self.folder()))?;
        }
        let epoch = file.taking.unwrap_or(file.epoch);
        let taken = ServerFile { epoch, installation, taking: None, taking_installation: None, ..file };
        taken.write(self)?;
        Ok(taken)
    }

    /// Notes, in a way that lasts, which epoch is about to be taken.
    pub(crate) fn note_taking(
        &self,
        epoch: u64,
        there: &str,
        installation: Option<&str>,
        now: Time,
    ) -> Result<ServerFile, ServiceError> {
        let file = match ServerFile::read(self)? {
            Some(file) => file,
            None => self.new_file(there.to_owned(), 0)?,
        };
        let taking_installation = Some(installation.unwrap_or(there).to_owned());
        let taken = Some(now.to_string());
        let file = ServerFile { taken, taking: Some(epoch), taking_installation, ..file };
        file.write(self)?;
        Ok(file)
    }

    /// Notes which epoch this home has in a database that is put back: higher than any it had, so that whoever knows the
    /// database from before has none in it. 0 for a home that never had any.
    pub(crate) fn note_put_back(&self, now: Time) -> Result<u64, ServiceError> {
        let Some(file) = ServerFile::read(self)?.filter(|file| file.epoch > 0) else { return Ok(0) };
        let epoch = file.epoch.max(file.taking.unwrap_or_default()) + 1;
        self.note_taking(epoch, &file.installation, None, now)?;
        Ok(epoch)
    }

    /// Takes the next epoch of a database for this server, and gives it. The home notes it first and has it last: killed
    /// in between, what the database says counts.
    pub(crate) fn take_over(
        &self,
        store: &dyn Store,
        seen: u64,
        installation: Option<&str>,
        now: Time,
    ) -> Result<u64, ServiceError> {
        let there = store.reader()?.installation()?.ok_or(StoreError::NotInstalled)?.id;
        let mut seen = seen;
        let known = ServerFile::read(self)?.map_or(0, |file| {
            // One that was noted when the database was further than it is now may have been taken.
            let taking = file.taking.filter(|taking| seen + 1 < *taking);
            file.epoch.max(taking.unwrap_or_default())
        });
        let known = known.max(self.epoch_seen(&there)?);
        // Of a database from before epochs were used already: what was done under them is not to be taken for ours.
        while seen < known {
            seen = store.take_epoch(seen)?;
        }
        let file = self.note_taking(seen + 1, &there, installation, now)?;
        let epoch = store.take_over(seen, &file.row("active", RESTART), installation)?;
        self.taken(file)?;
        Ok(epoch)
    }

    /// Whether and how this server stands by while it is not the active one.
    ///
    /// # Errors
    /// When the file that says so cannot be read.
    pub fn standby(&self) -> Result<StandbyMode, ServiceError> {
        Ok(ServerFile::read(self)?.map_or(StandbyMode::Off, |file| file.standby))
    }

    /// Sets whether and how this server stands by.
    ///
    /// # Errors
    /// When the home has no database on a server, or a file cannot be written.
    pub fn set_standby(&self, mode: StandbyMode) -> Result<(), ServiceError> {
        let named = self.named()?.ok_or_else(|| {
            ServiceError::usage(
                "the database is embedded: nobody else can stand by for it",
                "move it to a server with `onesync db move`, and let a second server join it with `onesync setup`",
            )
        })?;
        let file = match ServerFile::read(self)? {
            Some(file) => file,
            None if named.joined => self.new_file(named.installation, 0)?,
            // Which epoch is ours is seen when the database is opened.
            None => {
                let store = self.open_named()?.1;
                self.standing(&*store)?;
                return self.set_standby(mode);
            }
        };
        ServerFile { standby: mode, ..file }.write(self)?;
        self.forget_looks()
    }
}

/// The servers of a database, the active one first, then those seen last.
pub(crate) fn servers(store: &dyn Store, here: &str) -> Result<Vec<ServerView>, ServiceError> {
    let (lease, rows) = (store.lease()?, store.reader()?.servers()?);
    let mut views: Vec<ServerView> =
        rows.into_iter().map(|row| ServerView::of(row, lease.now, lease.epoch, here)).collect();
    views.sort_by_key(|view| (!view.active, view.seconds_ago));
    Ok(views)
}
