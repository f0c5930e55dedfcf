//! The runtime on which the connections of a store live.

use tokio::runtime::{Builder, Handle, Runtime};

use super::Checked;
use crate::error::StoreError;

/// One thread that serves connections and keeps their time. It may be dropped anywhere, a worker of another runtime included:
/// nothing waits for it.
pub(crate) struct Background(Option<Runtime>);

impl Background {
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn new(name: &'static str) -> Checked<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        let failed = |error: std::io::Error| StoreError::Server {
            doing: "connecting to the database",
            message: error.to_string(),
        };
        Ok(Self(Some(runtime.map_err(failed)?)))
    }

    /// What is asked of it; `None` only while it is dropped.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
