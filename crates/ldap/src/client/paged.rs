//! A search in pages (RFC 2696): one stream, the marks between the pages are driven here.

use super::connection::Client;
use super::search::{Running, SearchDone, SearchItem};
use crate::control::{Control, PagedResults, TypedControl};
use crate::error::LdapError;
use crate::message::SearchRequest;

const OPERATION: &str = "paged search";

/// How many pages without any entry may follow each other: a server may give some when its time for a page
/// is over, but one that gives nothing else would hold us for ever.
const EMPTY_PAGES_MAX: u32 = 1000;

impl Client {
    /// Begins a search that asks for `page_size` entries at a time.
    ///
    /// # Errors
    /// When the connection is gone. A refusal of the server comes from the stream.
    pub async fn search_paged(
        &mut self,
        request: SearchRequest,
        page_size: i32,
    ) -> Result<PagedSearch<'_>, LdapError> {
        let mut search = PagedSearch {
            client: self,
            request,
            page_size,
            running: None,
            pages: 0,
            empty_pages: 0,
            entries: 0,
        };
        search.ask(bytes::Bytes::new()).await?;
        Ok(search)
    }
}

/// A search in pages that runs. Dropping it before its end abandons it.
#[derive(Debug)]
pub struct PagedSearch<'c> {
    client: &'c mut Client,
    request: SearchRequest,
    page_size: i32,
    running: Option<Running>,
    pages: u64,
    empty_pages: u32,
    /// Entries of the page that runs.
    entries: u32,
}

impl PagedSearch<'_> {
    /// Gives the next item of this or the following pages; `None` when the last page has ended well.
    ///
    /// # Errors
    /// When the connection fails, the server is silent for too long, or ends a page with a refusal.
    pub async fn next(&mut self) -> Result<Option<SearchItem>, LdapError> {
        loop {
            let Some(running) = &mut self.running else { return Ok(None) };
            if let Some(item) = running.next(self.client).await? {
                self.entries = self.entries.saturating_add(1);
                return Ok(Some(item));
            }
            let done = running.drain(self.client).await?;
            self.running = None;
            self.next_page(&done).await?;
        }
    }

    /// Gives the number of pages that were begun.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    async fn next_page(&mut self, done: &SearchDone) -> Result<(), LdapError> {
        let mark = match PagedResults::find(&done.controls) {
            Ok(mark) => mark.unwrap_or_default(),
            Err(source) => {
                return Err(self
                    .client
                    .protocol_error(OPERATION, format!("its mark is malformed: {source}")));
            }
        };
        if mark.cookie.is_empty() {
            return Ok(());
        }
        self.empty_pages = if self.entries == 0 { self.empty_pages + 1 } else { 0 };
        if self.empty_pages > EMPTY_PAGES_MAX {
            let detail = format!("more than {EMPTY_PAGES_MAX} pages without an entry followed each other");
            return Err(self.client.protocol_error(OPERATION, detail));
        }
        self.ask(mark.cookie).await
    }

    async fn ask(&mut self, cookie: bytes::Bytes) -> Result<(), LdapError> {
        let page: Control = PagedResults { size: self.page_size, cookie }.to_control();
        let request = self.request.clone().control(page);
        self.entries = 0;
        self.pages += 1;
        self.running = Some(Running::start(self.client, request).await?);
        Ok(())
    }
}
