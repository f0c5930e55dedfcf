//! What the driver and the server complain about, as the store's errors.

use tiberius::error::{Error, TokenError};

use crate::error::StoreError;

/// Deadlock, waited too long for a lock, a snapshot that an older one, a change of the schema or a full store of versions
/// stands against, not enough of something that comes back.
const AGAIN: [u32; 17] =
    [1204, 1205, 1222, 1807, 3958, 3960, 3961, 3966, 701, 802, 8628, 8645, 10928, 10929, 49918, 49919, 49920];
/// The server is starting, stopping, moving, or the database is not open for writing just now.
const GONE: [u32; 25] = [
    18401, 596, 601, 904, 921, 922, 988, 926, 927, 952, 976, 978, 979, 983, 3906, 3908, 6005, 9001, 17142,
    17197, 17830, 40197, 40501, 40613, 40143,
];
const REFUSED: [u32; 8] = [18452, 18456, 18461, 18463, 18470, 18486, 18487, 18488];
const RIGHTS: [u32; 9] = [229, 230, 262, 297, 300, 916, 2760, 15151, 15247];
/// The last two: the largest size of an edition, or that was bought.
const FULL: [u32; 6] = [1101, 1105, 3257, 9002, 1827, 40544];
const CONFLICT: [u32; 4] = [515, 547, 2601, 2627];
/// The database cannot be opened by this login.
const CANNOT_OPEN: u32 = 4060;
/// Babelfish, PostgreSQL with this protocol, gives this number to what SQL Server has no number for; the words are
/// PostgreSQL's.
const OTHER: u32 = 33_557_097;
/// From this severity on the server ends the connection.
const FATAL: u8 = 20;

/// The store's error for one of the driver.
pub(super) fn failed(doing: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| match error {
        Error::Server(said) => said_by_server(doing, &said),
        Error::Tls(why) => StoreError::Untrusted { why },
        Error::Io { message, .. } => StoreError::Unreachable { doing, why: message },
        Error::Routing { host, port } => {
            let why = format!("the server sends us on to {host}:{port}: name that one in the database URL");
            StoreError::Settings { why }
        }
        // After these nothing that comes over the connection can be understood.
        Error::Protocol(why) => StoreError::Unreachable { doing, why: why.into_owned() },
        other => StoreError::Server { doing, message: other.to_string() },
    }
}

/// Whether the server says that the database cannot be opened: it is not there, may not be used, or recovers after a
/// restart, all by one number.
pub(super) fn cannot_open(error: &Error) -> bool {
    matches!(error, Error::Server(said) if said.code() == CANNOT_OPEN)
}

/// Whether a connection is of no use any more after an error.
pub(super) fn is_fatal(error: &Error) -> bool {
    match error {
        Error::Server(said) => said.class() >= FATAL || GONE.contains(&said.code()),
        _ => true,
    }
}

fn said_by_server(doing: &'static str, said: &TokenError) -> StoreError {
    let (code, why) = (said.code(), said.message().trim_end_matches('.').to_owned());
    match code {
        code if REFUSED.contains(&code) => StoreError::SignIn { why },
        code if AGAIN.contains(&code) => StoreError::Busy { doing },
        code if CONFLICT.contains(&code) => StoreError::Conflict(format!("{why}, while {doing}")),
        code if RIGHTS.contains(&code) => StoreError::Rights { doing, why },
        OTHER
            if ["the database system is", "terminating connection"]
                .iter()
                .any(|begin| why.starts_with(begin)) =>
        {
            StoreError::Unreachable { doing, why }
        }
        OTHER if why.starts_with("permission denied") => StoreError::Rights { doing, why },
        OTHER if why.starts_with("Cannot open database") => no_database(&why),
        code if FULL.contains(&code) => StoreError::Full { doing },
        911 | CANNOT_OPEN => no_database(&why),
        3952 => StoreError::Unsuitable { why: format!("{why}: `{}`", super::open::ALLOW_SNAPSHOT) },
        2628 | 8152 => StoreError::Unsuitable {
            why: format!(
                "{why}: a name is longer than its column, which holds 300 characters for a place of an error, \
                          100 for its code, 400 and more for other names"
            ),
        },
        code if said.class() >= FATAL || GONE.contains(&code) => {
            StoreError::Unreachable { doing, why: format!("{why} [{code}]") }
        }
        code => StoreError::Server { doing, message: format!("{why} [{code}]") },
    }
}

fn no_database(why: &str) -> StoreError {
    StoreError::NoDatabase { why: format!("{why}: it is not there, or the login has no user in it") }
}
