//! Searches as streams that the caller pulls.

use std::time::Duration;

use bytes::Bytes;

use super::connection::Client;
use crate::control::Control;
use crate::entry::Entry;
use crate::error::LdapError;
use crate::message::{Op, SearchRequest};
use crate::result::LdapResult;

const OPERATION: &str = "search";

/// What a search finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchItem {
    /// An entry.
    Entry(Entry),
    /// Places where the search should go on; nobody follows them here.
    Reference(Vec<String>),
    /// An intermediate response, such as [`crate::sync::SyncInfo`].
    Intermediate {
        /// Its name.
        name: Option<String>,
        /// Its value.
        value: Option<Bytes>,
    },
}

/// The end of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchDone {
    /// The outcome.
    pub result: LdapResult,
    /// The controls of the response, such as the mark of the next page.
    pub controls: Vec<Control>,
}

impl Client {
    /// Begins a search. Dropping the stream before its end abandons the search.
    ///
    /// # Errors
    /// When the connection is gone. A refusal of the server comes from the stream.
    pub async fn search(&mut self, request: SearchRequest) -> Result<SearchStream<'_>, LdapError> {
        let running = Running::start(self, request).await?;
        Ok(SearchStream { client: self, running })
    }

    /// Searches for at most one entry, such as the root of the directory or an entry by name.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn search_one(&mut self, request: SearchRequest) -> Result<Option<Entry>, LdapError> {
        let mut stream = self.search(request).await?;
        let mut first = None;
        while let Some(item) = stream.next().await? {
            if let (SearchItem::Entry(entry), None) = (item, &first) {
                first = Some(entry);
            }
        }
        Ok(first)
    }
}

/// A search that runs.
#[derive(Debug)]
pub struct SearchStream<'c> {
    client: &'c mut Client,
    running: Running,
}

impl SearchStream<'_> {
    /// Gives the next item; `None` when the search has ended well.
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the connection fails, the server is silent for too long, or ends the search with a refusal.
    pub async fn next(&mut self) -> Result<Option<SearchItem>, LdapError> {
        self.running.next(self.client).await
    }

    /// Sets how long the server may be silent; `None` for a search that waits for changes.
    pub const fn set_silence_max(&mut self, silence_max: Option<Duration>) {
        self.running.silence_max = silence_max;
    }

    /// Gives the end of the search, once it has come, whatever its outcome.
    pub const fn done(&self) -> Option<&SearchDone> {
        self.running.done.as_ref()
    }

    /// Reads to the end, passing over what is left, and gives the end.
    ///
    /// # Errors
    /// As [`SearchStream::next`].
    pub async fn finish(mut self) -> Result<SearchDone, LdapError> {
        self.running.drain(self.client).await
    }
}

/// The state of a search apart from its connection.
#[derive(Debug)]
pub(super) struct Running {
    id: i32,
    base: String,
    silence_max: Option<Duration>,
    done: Option<SearchDone>,
}

impl Running {
    pub(super) async fn start(client: &mut Client, request: SearchRequest) -> Result<Self, LdapError> {
        let base = request.base.clone();
        let silence_max = Some(client.timeout);
        let id = client.send(OPERATION, Op::SearchRequest(request), Vec::new()).await?;
        Ok(Self { id, base, silence_max, done: None })
    }

    pub(super) async fn next(&mut self, client: &mut Client) -> Result<Option<SearchItem>, LdapError> {
        if self.done.is_some() {
            return Ok(None);
        }
        let message = client.receive(OPERATION, self.id, self.silence_max).await?;
        match message.op {
            Op::SearchEntry(entry) => Ok(Some(SearchItem::Entry(entry))),
            Op::SearchReference(urls) => Ok(Some(SearchItem::Reference(urls))),
            Op::Intermediate(name, value) => Ok(Some(SearchItem::Intermediate { name, value })),
            Op::SearchDone(result) => {
                client.finished();
                let refusal =
                    (!result.is_success()).then(|| client.refused(OPERATION, &self.base, result.clone()));
                self.done = Some(SearchDone { result, controls: message.controls });
                refusal.map_or(Ok(None), Err)
            }
            other => Err(client.unexpected(OPERATION, &other)),
        }
    }

    pub(super) async fn drain(&mut self, client: &mut Client) -> Result<SearchDone, LdapError> {
        while self.next(client).await?.is_some() {}
        match self.done.take() {
            Some(done) if done.result.is_success() => Ok(done),
            Some(done) => Err(client.refused(OPERATION, &self.base, done.result)),
            None => Err(client.protocol_error(OPERATION, "the search has no end".to_owned())),
        }
    }
}
