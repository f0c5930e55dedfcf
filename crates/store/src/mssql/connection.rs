//! Connections: the runtime they live on, how each is set, and where they wait to be used again.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tiberius::{Config, Row, SqlBrowser as _, ToSql};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use super::failure::{cannot_open, failed, is_fatal};
use super::options::SqlServerOptions;
use super::query::last;
use super::sql;
use super::value::Asked;
use crate::error::StoreError;
use crate::relational::Checked;
use crate::relational::wait::wait;

/// Connections that read at once: a batch that is computed holds two, a command of a person one.
const READERS_MAX: usize = 16;
/// Connections for single statements about servers and leases.
const ASIDE_MAX: usize = 2;
/// Whoever finds all of them taken waits this long.
const POOL_WAIT: Duration = Duration::from_secs(60);
/// A server that does not answer in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is silent for so long in the middle of an answer is gone: longer than any lock is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// A connection that carries nothing is looked after in this time, so that a dead server is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Between two looks at such a connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Large messages go in few pieces; more than this is not given with TLS.
const PACKET_SIZE: u32 = 16_000;

pub(super) type Driver = tiberius::Client<Compat<TcpStream>>;

/// One connection.
pub(super) struct Client {
    driver: RefCell<Driver>,
    lost: Cell<bool>,
    /// Whether the server counts characters as UTF-16 does, where some are two.
    pairs: Cell<bool>,
}

impl Client {
    /// Whether it is of no use any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    /// Runs statements with parameters. Every result is read: an error may come in a later one. The rows of each.
    pub(super) fn ask(&self, sql: &str, asked: &Asked<'_>, doing: &'static str) -> Checked<Vec<Vec<Row>>> {
        let params = asked.params(self.pairs.get());
        let params: Vec<&dyn ToSql> = params.iter().map(|param| param as _).collect();
        self.with(doing, async |driver| driver.query(sql, &params).await?.into_results().await)
    }

    /// Runs statements without parameters, as they are: what begins and ends a transaction is to last longer than them.
    pub(super) fn run(&self, sql: &str, doing: &'static str) -> Checked<Vec<Vec<Row>>> {
        self.with(doing, async |driver| driver.simple_query(sql).await?.into_results().await)
    }

    /// Does something with the driver, and notes when the connection was lost by it.
    pub(super) fn with<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Driver) -> Result<T, tiberius::error::Error>,
    ) -> Checked<T> {
        let mut driver = self.driver.borrow_mut();
        wait(work(&mut driver)).map_err(|error| {
            if is_fatal(&error) {
                self.lost.set(true);
            }
            failed(doing)(error)
        })
    }
}

/// Connections of one sort that wait to be used again.
struct Pool {
    isolation: &'static str,
    limit: usize,
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Client>,
    taken: usize,
}

impl Pool {
    fn new(limit: usize, isolation: &'static str) -> Self {
        Self { isolation, limit, state: Mutex::default(), given_back: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that waits, or leave to make a new one.
    fn take(&self, doing: &'static str) -> Checked<Option<Client>> {
        let end = Instant::now() + POOL_WAIT;
        let mut state = self.state();
        while state.taken == self.limit {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Busy { doing });
            }
            state = self.given_back.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.taken += 1;
        Ok(state.idle.pop())
    }

    fn give_back(&self, client: Option<Client>) {
        let mut state = self.state();
        state.taken -= 1;
        match client {
            Some(client) if !client.is_lost() => state.idle.push(client),
            // Those that wait are of the same server, and as dead.
            Some(_) => state.idle.clear(),
            None => {}
        }
        drop(state);
        self.given_back.notify_one();
    }
}

/// The connections to one database.
pub(super) struct Connections {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    config: Config,
    /// Whether the port is asked for by the name of the instance.
    named: bool,
    /// Whether the database could be opened by then.
    opened: AtomicBool,
    writers: Pool,
    readers: Pool,
    /// For single statements that must not wait for any of those.
    aside: Pool,
}

impl Connections {
    /// Prepares to connect; connects to nothing yet.
    pub(super) fn new(options: &SqlServerOptions) -> Checked<Self> {
        let doing = "connecting to the database";
        if let Some(file) = options.authority() {
            // The driver would say so too, but not where the mistake is.
            std::fs::metadata(file).map_err(|error| StoreError::Settings {
                why: format!("TLS to the database server cannot be set up: `{}`: {error}", file.display()),
            })?;
        }
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("sqlserver").enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::Server { doing, message: error.to_string() })?;
        let mut config = options.config();
        config.packet_size(PACKET_SIZE);
        config.handshake_timeout(Some(CONNECT_TIMEOUT));
        config.command_timeout(Some(ANSWER_TIMEOUT));
        Ok(Self {
            runtime: Some(runtime),
            config,
            named: options.instance().is_some(),
            opened: AtomicBool::new(false),
            writers: Pool::new(1, sql::READ_COMMITTED),
            readers: Pool::new(READERS_MAX, sql::SNAPSHOT),
            aside: Pool::new(ASIDE_MAX, sql::READ_COMMITTED),
        })
    }

    /// The connection of the writer.
    pub(super) fn writer(&self, doing: &'static str) -> Checked<Client> {
        self.get(&self.writers, doing)
    }

    /// One for reading.
    pub(super) fn reader(&self, doing: &'static str) -> Checked<Client> {
        self.get(&self.readers, doing)
    }

    /// Asks a single statement beside all others; the rows of its last result.
    pub(super) fn ask_aside(&self, sql: &str, asked: &Asked<'_>, doing: &'static str) -> Checked<Vec<Row>> {
        let client = self.get(&self.aside, doing)?;
        let found = client.ask(sql, asked, doing).map(last);
        self.aside.give_back(Some(client));
        found
    }

    /// Keeps the writer's connection, on which no transaction is under way, for the next one.
    pub(super) fn keep(&self, client: Client) {
        self.writers.give_back(Some(client));
    }

    /// Ends a transaction of the writer's connection, if one is under way, and keeps it for the next one.
    pub(super) fn end_write(&self, client: Client) {
        end(&self.writers, client);
    }

    /// The same with one for reading.
    pub(super) fn end_read(&self, client: Client) {
        end(&self.readers, client);
    }

    fn get(&self, pool: &Pool, doing: &'static str) -> Checked<Client> {
        if let Some(client) = pool.take(doing)? {
            return Ok(client);
        }
        let made = self.connect(pool.isolation, doing);
        if made.is_err() {
            pool.give_back(None);
        }
        made
    }

    fn connect(&self, isolation: &'static str, doing: &'static str) -> Checked<Client> {
        // What connects and what waits for a time needs the runtime; it is asked from here all the same.
        let _context = self.runtime.as_ref().map(Runtime::enter);
        let stream = wait(async {
            let connecting = async {
                match self.named {
                    true => TcpStream::connect_named(&self.config).await,
                    false => Ok(TcpStream::connect(self.config.get_addr()).await?),
                }
            };
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(stream)) => Ok(stream),
                // The browser service did not answer, or does not know the instance.
                Ok(Err(tiberius::error::Error::Conversion(why))) => {
                    Err(StoreError::Unreachable { doing, why: why.into_owned() })
                }
                Ok(Err(error)) => Err(failed(doing)(error)),
                Err(_) => {
                    let why = format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs());
                    Err(StoreError::Unreachable { doing, why })
                }
            }
        })?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
        let set =
            stream.set_nodelay(true).and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive));
        set.map_err(|error| StoreError::Unreachable { doing, why: error.to_string() })?;
        let driver = wait(Driver::connect(self.config.clone(), stream.compat_write()));
        let driver = driver.map_err(|error| match failed(doing)(error.clone()) {
            // It could be opened before: the server has started again, and the database recovers.
            StoreError::Settings { why } if cannot_open(&error) && self.opened.load(Ordering::Relaxed) => {
                StoreError::Unreachable { doing, why }
            }
            other => other,
        })?;
        self.opened.store(true, Ordering::Relaxed);
        let client = Client { driver: RefCell::new(driver), lost: Cell::new(false), pairs: Cell::new(true) };
        let length = last(client.run(isolation, doing)?);
        let length = length.first().map(|row| row.try_get::<i64, _>(0));
        client.pairs.set(matches!(length, Some(Ok(Some(2)))));
        Ok(client)
    }
}

fn end(pool: &Pool, client: Client) {
    // One on which that fails is not used again.
    if !client.is_lost() && client.run(sql::ROLL_BACK, "ending a transaction").is_err() {
        client.lost.set(true);
    }
    pool.give_back(Some(client));
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.writers.state().idle.clear();
        self.readers.state().idle.clear();
        self.aside.state().idle.clear();
        if let Some(runtime) = self.runtime.take() {
            // Dropping it here would wait for its threads, which a worker of another runtime must not.
            runtime.shutdown_background();
        }
    }
}
