//! The leave to write: asked directly before every request that changes something.
//!
//! A batch may be many requests, with waits in between: for a service that is busy, for a second attempt, for as long as
//! the process is stopped. Another server may have taken over meanwhile. So the question is asked again before each of
//! them, as late as possible: between the answer and the bytes of the request there is nothing but the sending of it.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::ConnectorError;

/// Says whether this server may still write.
#[async_trait]
pub trait Permit: Send + Sync + Debug {
    /// Asks. After an error nothing may be sent any more.
    async fn check(&self) -> Result<(), ConnectorError>;
}

/// The leave to write of one server.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The epoch of the server that writes, for the ids of requests; 0 for what only reads.
    pub epoch: u64,
    permit: Option<Arc<dyn Permit>>,
}

impl Pass {
    /// One that is asked before every request that writes.
    #[must_use]
    pub fn new(epoch: u64, permit: Arc<dyn Permit>) -> Self {
        Self { epoch, permit: Some(permit) }
    }

    /// One that nothing takes away: for setting the marker, which is how it is taken from others, and for tests.
    #[must_use]
    pub fn unchecked(epoch: u64) -> Self {
        Self { epoch, permit: None }
    }

    /// For what only reads.
    #[must_use]
    pub fn reading() -> Self {
        Self::unchecked(0)
    }

    /// Asks whether this server may still write.
    ///
    /// # Errors
    /// When it may not, or that cannot be told: nothing may be sent then.
    pub async fn check(&self) -> Result<(), ConnectorError> {
        match &self.permit {
            Some(permit) => permit.check().await,
            None => Ok(()),
        }
    }
}
