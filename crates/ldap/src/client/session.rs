//! A connection that is made again when it was lost.
//!
//! Only connecting and binding are repeated, never an operation: whether that is safe, the caller knows.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use super::connection::Client;
use super::options::ConnectOptions;
use crate::error::{ErrorClass, LdapError};

/// How often connecting is tried before the error is given to the caller, who has a schedule of its own.
const ATTEMPTS_MAX: u32 = 3;

/// The first pause between two attempts; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// Who we are.
#[derive(Clone)]
pub enum Credentials {
    /// Nobody.
    Anonymous,
    /// A name and a password.
    Simple {
        /// The name.
        name: String,
        /// The password; wiped from memory when dropped.
        password: Zeroizing<Vec<u8>>,
    },
    /// Whom the client certificate names.
    External {
        /// As whom to act, if not as that one.
        authorization_id: Option<String>,
    },
}

impl Credentials {
    /// Makes credentials of a name and a password.
    pub fn simple(name: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        Self::Simple { name: name.into(), password: Zeroizing::new(password.into()) }
    }
}

impl fmt::Debug for Credentials {
    /// Hides the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Simple { name, .. } => write!(f, "Simple({name:?}, ..)"),
            Self::External { authorization_id } => write!(f, "External({authorization_id:?})"),
        }
    }
}

/// Keeps one bound connection to one server.
#[derive(Debug)]
pub struct Session {
    options: ConnectOptions,
    credentials: Credentials,
    client: Option<Client>,
    pause_first: Duration,
}

impl Session {
    /// Makes a session; nothing is connected yet.
    pub const fn new(options: ConnectOptions, credentials: Credentials) -> Self {
        Self { options, credentials, client: None, pause_first: PAUSE_FIRST }
    }

    /// Sets the first pause between two attempts to connect.
    #[must_use]
    pub fn pause_first(self, pause_first: Duration) -> Self {
        Self { pause_first, ..self }
    }

    /// Gives the bound connection, made anew when there is none or when it was lost.
    ///
    /// # Errors
    /// When connecting or binding fails: at once when trying again is of no use, else after some attempts.
    pub async fn client(&mut self) -> Result<&mut Client, LdapError> {
        let mut usable = None;
        if let Some(mut client) = self.client.take() {
            usable = client.is_alive().await.then_some(client);
        }
        let client = match usable {
            Some(client) => client,
            None => self.connect().await?,
        };
        Ok(self.client.insert(client))
    }

    /// Drops the connection, so that the next use makes a new one.
    pub fn disconnect(&mut self) {
        self.client = None;
    }

    async fn connect(&self) -> Result<Client, LdapError> {
        let mut pause = self.pause_first;
        let mut attempt = 1;
        loop {
            let error = match self.connect_once().await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            let again = matches!(error.class(), ErrorClass::Transient | ErrorClass::Busy);
            if !again || attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn connect_once(&self) -> Result<Client, LdapError> {
        let mut client = Client::connect(&self.options).await?;
        match &self.credentials {
            // a new connection is anonymous: Active Directory would refuse nothing here, but others may
            Credentials::Anonymous => {}
            Credentials::Simple { name, password } => client.simple_bind(name, password).await?,
            Credentials::External { authorization_id } => {
                client.external_bind(authorization_id.as_deref()).await?;
            }
        }
        Ok(client)
    }
}
