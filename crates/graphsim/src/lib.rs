//! A simulator of Microsoft Graph for directory synchronisation: users, groups, members, delta, `$batch`.
//!
//! For tests and the demo in the same process ([`GraphSim::builder`]) and as the program `onesync-graphsim`. It
//! validates, refuses, throttles, lags and fails like the service, with the texts clients match on; everything beyond
//! a quick faultless tenant is off by default and switched on by [`Behaviours`] and [`FaultRule`].
//!
//! Deliberately absent: delegated sign-in, mail, licences, bulkUpload, SCIM, provisioning logs, writes of contacts.
//! It uses no other crate of this workspace, so that it judges the connector instead of sharing its errors.

mod auth;
mod batch;
mod clock;
mod config;
mod control;
mod delta;
mod error;
mod faults;
mod handlers;
#[cfg(feature = "validate")]
pub mod judged;
mod log;
mod message;
mod odata;
mod perms;
mod rules;
mod schema;
mod seed;
mod server;
mod service;
mod sim;
mod state;
mod throttle;
mod tls;
#[cfg(feature = "validate")]
pub mod validate;
mod world;
mod x509;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use clock::ClockMode;
pub use config::{
    ALL_ROLES, AppConfig, Behaviours, DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID,
    DomainConfig, ExpiredDelta, SecretConfig, TenantConfig,
};
pub use faults::{FaultAction, FaultPhase, FaultRule, RandomFaults};
pub use log::{Counter, LogEntry};
pub use seed::SeedData;
pub use sim::{Builder, GraphSim};
pub use tls::TlsConfig;

/// Why a simulator could not start, be filled or stop.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address is taken or not ours.
    #[error("cannot listen on `{address}`; choose another port")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate or key is broken.
    #[error("certificate for the simulator cannot be used: {0}")]
    Tls(String),
    /// The state file cannot be read or written.
    #[error("state file `{file}` cannot be used: {reason}; move it away to start empty")]
    State {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A seed or snapshot cannot be understood.
    #[error("{0}")]
    Seed(String),
}
