//! Connections: the runtime they live on, how each is set, and where they wait to be used again.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tiberius::{Config, Row, ToSql};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use super::failure::{cannot_open, failed, is_fatal};
use super::options::SqlServerOptions;
use super::query::last;
use super::reach::connect;
use super::sql_open as sql;
use super::value::Asked;
use crate::error::StoreError;
use crate::relational::wait::wait;
use crate::relational::{Background, Checked};

/// Connections that read at once: a batch that is computed holds two, a command of a person one.
const READERS_MAX: usize = 16;
/// Connections for single statements about servers and leases.
const ASIDE_MAX: usize = 2;
/// Whoever finds all of them taken waits this long.
const POOL_WAIT: Duration = Duration::from_secs(60);
/// A server that does not answer in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that takes so long is not waited for any more, and its connection closed: the server is stuck, or was lost by a
/// network that does not say so. Longer than any lock is waited for, and than the largest request takes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);
/// The same for what an administrator does: a schema, statistics, a new database.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(4 * 3_600);
/// A question of a person.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that carries nothing is looked after in this time, so that a dead server is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Between two looks at such a connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Large messages go in few pieces; more than this is not given with TLS.
const PACKET_SIZE: u32 = 16_000;

/// Why a server may not do what `encrypt=strict` asks for.
const STRICT: &str = "`encrypt=strict` speaks TLS from the first byte, which SQL Server 2022 and later understand where a \
                      certificate is configured; with an older one leave it out: `encrypt=required` proves the server just so";

pub(super) type Driver = tiberius::Client<Compat<TcpStream>>;

/// One connection.
pub(super) struct Client {
    driver: RefCell<Driver>,
    /// Of the runtime, which keeps the time.
    handle: Handle,
    limit: Duration,
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
        self.within(self.limit, doing, work)
    }

    /// The same in a time of its own. After it the connection is of no use: what the server still says belongs to nothing.
    pub(super) fn within<T>(
        &self,
        limit: Duration,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Driver) -> Result<T, tiberius::error::Error>,
    ) -> Checked<T> {
        let mut driver = self.driver.borrow_mut();
        let _context = self.handle.enter();
        match wait(async { timeout(limit, work(&mut driver)).await }) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                if is_fatal(&error) {
                    self.lost.set(true);
                }
                Err(failed(doing)(error))
            }
            Err(_) => {
                self.lost.set(true);
                let why = format!("no end of a request within {} seconds", limit.as_secs_f32());
                Err(StoreError::Unreachable { doing, why })
            }
        }
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
    runtime: Background,
    config: Config,
    host: String,
    /// The port, or the instance that it is asked for by.
    port: Result<u16, String>,
    strict: bool,
    /// How long a request may take, and a question.
    limits: (Duration, Duration),
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
        let mut config = options.config()?;
        config.packet_size(PACKET_SIZE);
        config.handshake_timeout(Some(CONNECT_TIMEOUT));
        // Each request as a whole has a time: the driver's own is for each piece of an answer, and none for what is sent.
        config.command_timeout(None);
        let (host, port) = options.server();
        Ok(Self {
            runtime: Background::new("sqlserver")?,
            config,
            host,
            port,
            strict: options.is_strict(),
            limits: (REQUEST_TIMEOUT, QUESTION_TIMEOUT),
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

    /// One of its own for what takes long, closed when it is dropped.
    pub(super) fn patient(&self, doing: &'static str) -> Checked<Client> {
        self.connect(sql::READ_COMMITTED, PATIENT_TIMEOUT, doing)
    }

    /// How long a question of a person may take.
    pub(super) fn question_limit(&self) -> Duration {
        self.limits.1
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
        let made = self.connect(pool.isolation, self.limits.0, doing);
        if made.is_err() {
            pool.give_back(None);
        }
        made
    }

    fn connect(&self, isolation: &'static str, limit: Duration, doing: &'static str) -> Checked<Client> {
        let closed = || StoreError::Server { doing, message: "the store is closed".to_owned() };
        let handle = self.runtime.handle().cloned().ok_or_else(closed)?;
        // What connects and what waits for a time needs the runtime; it is asked from here all the same.
        let context = handle.enter();
        let port = self.port.as_ref().map(|port| *port).map_err(String::as_str);
        let stream = match wait(async { timeout(CONNECT_TIMEOUT, connect(&self.host, port)).await }) {
            Ok(stream) => stream,
            Err(_) => Err(format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs())),
        };
        let stream = stream.map_err(|why| StoreError::Unreachable { doing, why })?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
        let set =
            stream.set_nodelay(true).and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive));
        set.map_err(|error| StoreError::Unreachable { doing, why: error.to_string() })?;
        let driver = wait(Driver::connect(self.config.clone(), stream.compat_write()));
        let driver = driver.map_err(|error| match failed(doing)(error.clone()) {
            // It could be opened before: the server has started again, and the database recovers.
            StoreError::NoDatabase { why } if cannot_open(&error) && self.opened.load(Ordering::Relaxed) => {
                StoreError::Unreachable { doing, why }
            }
            StoreError::Unreachable { why, .. } | StoreError::Untrusted { why }
                if self.strict && !self.opened.load(Ordering::Relaxed) =>
            {
                StoreError::Untrusted { why: format!("{why}; {STRICT}") }
            }
            other => other,
        })?;
        drop(context);
        self.opened.store(true, Ordering::Relaxed);
        let client = Client {
            driver: RefCell::new(driver),
            handle,
            limit,
            lost: Cell::new(false),
            pairs: Cell::new(true),
        };
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
    }
}

#[cfg(test)]
mod sqlserver {
    //! On the server of `ONESYNC_TEST_SQLSERVER`.

    use super::super::transaction::locked;
    use super::super::{SqlServerAdmin, facts};
    use super::*;
    use crate::look::DatabaseAdmin as _;

    const LIMIT: Duration = Duration::from_secs(3);

    /// A database of its own, and connections to it that are not patient.
    fn connections(name: &str) -> (Connections, impl Drop) {
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} names no server"));
        let password = std::fs::read_to_string(variable("ONESYNC_TEST_SQLSERVER_PASSWORD_FILE")).unwrap();
        let options = SqlServerOptions::parse(&variable("ONESYNC_TEST_SQLSERVER")).unwrap();
        let options = options.password(&password.trim_end_matches('\n').to_owned().into());
        let (name, admin) = (format!("onesync_{}_{name}", std::process::id()), options.clone());
        let options = options.in_database(&name);
        let made = SqlServerAdmin::new(&admin, &options).and_then(|admin| {
            admin.make_database(None)?;
            admin.make_tables()
        });
        made.unwrap();
        let mut connections = Connections::new(&options).unwrap();
        connections.limits = (LIMIT, LIMIT);
        (connections, Dropped { admin, name })
    }

    struct Dropped {
        admin: SqlServerOptions,
        name: String,
    }

    impl Drop for Dropped {
        fn drop(&mut self) {
            let connections = Connections::new(&self.admin).unwrap();
            let client = connections.patient("testing").unwrap();
            // A question that was given up may still be under way there.
            let _ = client.run(&format!("DROP DATABASE {}", self.name), "testing");
        }
    }

    /// What a server never ends: counting a billion rows.
    const ENDLESS: &str =
        "WITH d AS (SELECT v.n FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS v(n))
      SELECT COUNT_BIG(*) FROM d AS a CROSS JOIN d AS b CROSS JOIN d AS c CROSS JOIN d AS e CROSS JOIN d AS f
      CROSS JOIN d AS g CROSS JOIN d AS h CROSS JOIN d AS i CROSS JOIN d AS j";

    #[test]
    fn a_request_without_an_end_is_given_up_and_the_next_one_has_another_connection() {
        let (connections, _dropped) = connections("request");
        let client = connections.writer("testing").unwrap();
        let began = Instant::now();
        let error = client.run(ENDLESS, "testing").unwrap_err();
        assert!(error.is_transient() && client.is_lost(), "{error}");
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        connections.end_write(client);
        let client = connections.writer("testing").unwrap();
        assert_eq!(client.run("SELECT 1", "testing").unwrap().len(), 1);
        connections.end_write(client);
    }

    /// A lock of an application is one of the whole server on Babelfish.
    #[test]
    fn writers_of_two_databases_do_not_wait_for_each_other() {
        let ((one, _dropped), (other, _dropped_too)) = (connections("one"), connections("other"));
        let held = [&one, &other].map(|connections| {
            let client = connections.patient("testing").unwrap();
            let answers = client.run(sql::BEGIN_WRITE, "testing").unwrap();
            locked(&answers[0], "testing").unwrap();
            client
        });
        drop(held);
    }

    #[test]
    fn a_question_without_an_end_is_given_up() {
        let (connections, _dropped) = connections("question");
        let began = Instant::now();
        let error = facts::query(&connections, ENDLESS, 10).unwrap_err();
        assert!(matches!(&error, StoreError::Question { why } if why.contains("longer than")), "{error}");
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// TLS comes first, by the protocol's name, and a server that does not understand it is told of.
    #[test]
    fn strict_encryption_begins_with_tls_and_is_explained_where_it_fails() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let heard = std::thread::spawn(move || {
            let mut said = [0; 4096];
            let length = server.accept().unwrap().0.read(&mut said).unwrap();
            said[..length].to_vec()
        });
        let url = format!("sqlserver://sync@127.0.0.1:{port}/one?encrypt=strict");
        let connections = Connections::new(&SqlServerOptions::parse(&url).unwrap()).unwrap();
        let error = connections.writer("testing").err().unwrap();
        assert!(
            matches!(&error, StoreError::Untrusted { why } if why.contains("SQL Server 2022")),
            "{error}"
        );
        let heard = heard.join().unwrap();
        assert_eq!(heard[0], 0x16, "a TLS handshake");
        assert!(heard.windows(7).any(|word| word == b"tds/8.0"), "the protocol is named");
    }
}
