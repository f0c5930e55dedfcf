//! Connections: the runtime they live on, the pools they are kept in, how each is set.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime as PoolRuntime,
};
use tokio::runtime::Handle;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::{failed, no_connection};
use super::options::PostgresOptions;
use super::{sql, tls};
use crate::error::StoreError;
use crate::relational::Background;
use crate::relational::wait::wait;

/// Connections that read at once: a batch that is computed holds two, a command of a person one.
const READERS_MAX: usize = 16;
/// Connections for single statements about servers and leases.
const ASIDE_MAX: usize = 2;
/// Whoever finds all of them taken waits this long.
const POOL_WAIT: Duration = Duration::from_secs(60);
/// So many times as long as for the connection a server may take until somebody is signed in: one that hangs still has its
/// system take connections.
const SIGN_IN: u32 = 3;
/// Settings of every connection, as far as the server has them. All reads are by key and all writes by sets of keys:
/// plans that go by index whatever the statistics say are the right ones on an empty table that is being filled, on a
/// full one, and on one that was never analysed. Plans of reads are made once. The few statements of a batch that write
/// are planned each time, for as many rows as they come with and for tables as large as they are by then. A lock or a
/// silent transaction does not stand in the way for ever: of a server whose network is cut, the database lets go within
/// a minute.
const SETTINGS: [(&str, &str); 10] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("lock_timeout", "15s"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// The connections to one database.
pub(super) struct Connections {
    runtime: Background,
    writer: Pool,
    readers: Pool,
    /// For single statements that must not wait for any of those.
    aside: Pool,
}

impl Connections {
    /// Makes the pools; connects to nothing yet.
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        let doing = "connecting to the database";
        let other = |error: &dyn std::fmt::Display| StoreError::Server { doing, message: error.to_string() };
        let runtime = Background::new("postgres")?;
        let tls = MakeRustlsConnect::new(tls::config(options)?);
        let hosts = u32::try_from(options.config.get_hosts().len()).unwrap_or(1).max(1);
        let sign_in = options.config.get_connect_timeout().map(|one| *one * SIGN_IN * hosts);
        let pool = |size: usize, plans: &'static str| {
            let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            let manager = Manager::from_config(options.config.clone(), tls.clone(), recycling);
            let set = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
                Box::pin(async move {
                    let settings = SETTINGS.into_iter().chain([("plan_cache_mode", plans)]);
                    let (names, values): (Vec<&str>, Vec<&str>) = settings.unzip();
                    client
                        .query(sql::CONNECTION_SETTINGS, &[&names, &values])
                        .await
                        .map_err(HookError::Backend)?;
                    Ok(())
                })
            });
            Pool::builder(manager)
                .max_size(size)
                .wait_timeout(Some(POOL_WAIT))
                .create_timeout(sign_in)
                .runtime(PoolRuntime::Tokio1)
                .post_create(set)
                .build()
                .map_err(|error| other(&error))
        };
        let (generic, custom) = ("force_generic_plan", "force_custom_plan");
        let (writer, readers) = (pool(1, custom)?, pool(READERS_MAX, generic)?);
        Ok(Self { runtime, writer, readers, aside: pool(ASIDE_MAX, generic)? })
    }

    /// The connection of the writer.
    pub(super) fn writer(&self, doing: &'static str) -> Result<Object, StoreError> {
        self.get(&self.writer, doing)
    }

    /// One for reading.
    pub(super) fn reader(&self, doing: &'static str) -> Result<Object, StoreError> {
        self.get(&self.readers, doing)
    }

    /// One for a single statement.
    pub(super) fn aside(&self, doing: &'static str) -> Result<Object, StoreError> {
        self.get(&self.aside, doing)
    }

    fn get(&self, pool: &Pool, doing: &'static str) -> Result<Object, StoreError> {
        // What connects and what waits for a time needs the runtime; it is asked from here all the same.
        let _context = self.runtime.handle().map(Handle::enter);
        wait(pool.get()).map_err(no_connection(doing))
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.writer.close();
        self.readers.close();
        self.aside.close();
    }
}

/// Runs statements without parameters and answers.
pub(super) fn run(client: &Object, text: &str, doing: &'static str) -> Result<(), StoreError> {
    wait(client.batch_execute(text)).map_err(failed(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server whose processes are stopped: its system takes the connection, and nobody reads.
    #[test]
    fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let url = format!("postgres://u:p@127.0.0.1:{port}/one?connect_timeout=1");
        let error = PostgresOptions::parse(&url).unwrap().look().unwrap_err();
        assert!(
            matches!(&error, StoreError::Unreachable { why, .. } if why.contains("does not answer")),
            "{error}"
        );
    }
}
