//! What the driver and the server complain about, as the store's errors.

use std::error::Error as _;
use std::io;

use deadpool_postgres::{HookError, PoolError, TimeoutType};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

/// The store's error for one of the driver.
pub(super) fn failed(doing: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| match error.as_db_error() {
        Some(said) => said_by_server(doing, said),
        None => found_by_driver(doing, &error),
    }
}

/// The store's error for one of the pool.
pub(super) fn no_connection(doing: &'static str) -> impl Fn(PoolError) -> StoreError {
    move |error| match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            failed(doing)(error)
        }
        PoolError::Timeout(TimeoutType::Create) => {
            StoreError::Unreachable { doing, why: "it takes connections and does not answer".to_owned() }
        }
        PoolError::Timeout(_) => StoreError::Busy { doing },
        other => StoreError::Server { doing, message: other.to_string() },
    }
}

fn said_by_server(doing: &'static str, said: &tokio_postgres::error::DbError) -> StoreError {
    let code = said.code();
    let mut why = said.message().to_owned();
    if let Some(detail) = said.detail() {
        why = format!("{why} ({detail})");
    }
    let gone = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        // What distributed databases answer to a commit of which they do not know whether it was made: the mark tells.
        &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN,
    ];
    let again = [
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::QUERY_CANCELED,
        &SqlState::TOO_MANY_CONNECTIONS,
    ];
    match code {
        // 58: the server's own input and output, which passes or needs its administrator, like its absence.
        code if gone.contains(&code) || ["08", "58"].iter().any(|class| code.code().starts_with(class)) => {
            StoreError::Unreachable { doing, why }
        }
        code if again.contains(&code) => StoreError::Busy { doing },
        // What is made "if it does not exist" by two at once.
        &SqlState::DUPLICATE_TABLE | &SqlState::DUPLICATE_OBJECT => {
            StoreError::Conflict(format!("{why}, while {doing}"))
        }
        code if code.code().starts_with("23") => StoreError::Conflict(format!("{why}, while {doing}")),
        code if code.code().starts_with("28") => StoreError::SignIn { why },
        &SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Rights { doing, why },
        &SqlState::DISK_FULL => StoreError::Full { doing },
        code if code.code().starts_with("53") => StoreError::Busy { doing }, // not enough of something else
        &SqlState::INVALID_CATALOG_NAME => StoreError::NoDatabase { why },
        code => StoreError::Server { doing, message: format!("{why} [{}]", code.code()) },
    }
}

fn found_by_driver(doing: &'static str, error: &Error) -> StoreError {
    let mut cause = error.source();
    let mut why = error.to_string();
    while let Some(found) = cause {
        if let Some(tls) = found.downcast_ref::<rustls::Error>() {
            return StoreError::Untrusted { why: tls.to_string() };
        }
        if let Some(io) = found.downcast_ref::<io::Error>() {
            return match io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(tls) => StoreError::Untrusted { why: tls.to_string() },
                None => StoreError::Unreachable { doing, why: io.to_string() },
            };
        }
        why = format!("{why}: {found}");
        cause = found.source();
    }
    // The driver has no sort of its own for it.
    if why.contains("password missing") {
        return StoreError::SignIn { why: "it asks for a password, and none was given".to_owned() };
    }
    match error.is_closed() {
        true => StoreError::Unreachable { doing, why },
        false => StoreError::Server { doing, message: why },
    }
}
