//! A proxy between an LDAP client and a real server, which plays what the server does not: the limits of Windows, and
//! bad days.
//!
//! It speaks plain LDAP on a loopback port. Every message is decoded, changed where [`Behaviour`] says so, and encoded
//! again. Deliberately absent: encryption, and any answer of its own beyond refusals.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use onesync_ldap::control::{DIR_SYNC, PAGED_RESULTS, PagedResults};
use onesync_ldap::frame::{FrameBuffer, MESSAGE_SIZE_MAX};
use onesync_ldap::message::{Message, Op, Scope, SearchRequest};
use onesync_ldap::{Entry, LdapResult, RangeOption, ResultCode, TypedControl};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

/// What the proxy plays. Changes are seen by the next message.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The most values of `member` in one answer, as Windows limits them to 1,500.
    pub members_max: Option<u32>,
    /// Whether the range with the last values never comes: the search for it is answered with nothing.
    pub lose_last_range: bool,
    /// Objects with this text in their names are shown to nobody, as if the account had lost the right to see them.
    pub hidden: Option<String>,
    /// What the clock of the server seems to show, as generalised time.
    pub current_time: Option<String>,
    /// The most entries in one page, and in a search without pages.
    pub page_max: Option<i32>,
    /// Pages until the connection is cut in the middle of one: 1 cuts the first.
    pub cut_in_page: Option<u32>,
    /// Searches of a subtree that are answered with *busy* before one is let through.
    pub busy: u32,
    /// The `invocationId` that the server seems to have.
    pub invocation: Option<[u8; 16]>,
    /// The highest update sequence number that the server seems to have.
    pub usn: Option<u64>,
    /// How long the end of every search is held back.
    pub delay: Option<Duration>,
    /// The end of this page, counted from 1, is held back until this is changed.
    pub hold_page: Option<usize>,
}

/// A running proxy; dropped, it closes all connections.
#[derive(Debug)]
pub struct LdapProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    connections: usize,
    pages: usize,
    /// The page whose end was held back last.
    held: Option<usize>,
    /// Told of every change of `behaviour` and `held`.
    changed: Arc<Notify>,
}

impl LdapProxy {
    /// Starts a proxy to `upstream` (`host:port`) on a free loopback port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: impl Into<String>, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { behaviour, ..State::default() }));
        let task = tokio::spawn(serve(listener, upstream.into(), Arc::clone(&state))).abort_handle();
        Ok(Self { address, state, task })
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// Changes what it plays.
    pub fn play(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut state = lock(&self.state);
        change(&mut state.behaviour);
        state.changed.notify_waiters();
    }

    /// Waits until the end of this page is held back: the server has read it, the client waits for it.
    pub async fn held(&self, page: usize) {
        until(&self.state, |state| state.held == Some(page)).await;
    }

    /// How many connections were taken.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.state).connections
    }

    /// How many pages were asked for.
    #[must_use]
    pub fn pages(&self) -> usize {
        lock(&self.state).pages
    }
}

impl Drop for LdapProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a state. What is told between the look and the waiting is not missed: the waiting begins first.
async fn until(state: &Mutex<State>, is: impl Fn(&State) -> bool) {
    let changed = Arc::clone(&lock(state).changed);
    loop {
        let next = changed.notified();
        if is(&lock(state)) {
            return;
        }
        next.await;
    }
}

async fn serve(listener: TcpListener, upstream: String, state: Arc<Mutex<State>>) {
    // its connections end with it
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        lock(&state).connections += 1;
        connections.spawn(connection(client, upstream.clone(), Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

/// What is remembered of a search until its end.
#[derive(Debug, Default)]
struct Running {
    /// Entries in this answer, where they are limited.
    entries_max: Option<i32>,
    entries: i32,
    /// Entries after which the connection is cut.
    cut_after: Option<i32>,
    /// Whether the limit was passed, so that the search must end with a refusal.
    refused: bool,
    /// Which page it is.
    page: Option<usize>,
}

struct Connection {
    state: Arc<Mutex<State>>,
    running: Mutex<HashMap<i32, Running>>,
}

/// What becomes of a message.
enum Verdict {
    Forward(Message),
    Answer(Message),
    Drop,
    Cut,
}

async fn connection(client: TcpStream, upstream: String, state: Arc<Mutex<State>>) {
    let Ok(server) = TcpStream::connect(&upstream).await else { return };
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let shared = Connection { state, running: Mutex::default() };
    let (answers, mut waiting) = tokio::sync::mpsc::channel::<Message>(16);
    let requests = async {
        let mut source = Source::new(from_client);
        while let Some(message) = source.next().await {
            let goes_on = match shared.request(message) {
                Verdict::Forward(message) => send(&mut to_server, &message).await,
                Verdict::Answer(message) => answers.send(message).await.is_ok(),
                Verdict::Drop => true,
                Verdict::Cut => false,
            };
            if !goes_on {
                break;
            }
        }
    };
    let responses = async {
        let mut source = Source::new(from_server);
        loop {
            let message = tokio::select! {
                Some(answer) = waiting.recv() => {
                    if !send(&mut to_client, &answer).await { break }
                    continue;
                }
                message = source.next() => message,
            };
            let Some(message) = message else { break };
            let delay = lock(&shared.state).behaviour.delay;
            if let (Op::SearchDone(_), Some(delay)) = (&message.op, delay) {
                tokio::time::sleep(delay).await;
            }
            shared.hold(&message).await;
            let goes_on = match shared.response(message) {
                Verdict::Forward(message) | Verdict::Answer(message) => send(&mut to_client, &message).await,
                Verdict::Drop => true,
                Verdict::Cut => false,
            };
            if !goes_on {
                break;
            }
        }
    };
    // whichever side ends first ends the connection
    tokio::select! { () = requests => {}, () = responses => {} }
}

impl Connection {
    /// Waits while the end of a page is to be held back.
    async fn hold(&self, message: &Message) {
        let Op::SearchDone(_) = &message.op else { return };
        let page = lock(&self.running).get(&message.id).and_then(|running| running.page);
        if page.is_none() {
            return;
        }
        {
            let mut state = lock(&self.state);
            if state.behaviour.hold_page != page {
                return;
            }
            state.held = page;
            state.changed.notify_waiters();
        }
        until(&self.state, |state| state.behaviour.hold_page != page).await;
    }

    fn request(&self, mut message: Message) -> Verdict {
        let Op::SearchRequest(request) = &mut message.op else { return Verdict::Forward(message) };
        let mut state = lock(&self.state);
        if state.behaviour.busy > 0 && request.scope == Scope::Subtree {
            state.behaviour.busy -= 1;
            let result = LdapResult::with_message(
                ResultCode::Busy,
                "00002024: the server is busy (played by the proxy)",
            );
            return Verdict::Answer(Message::new(message.id, Op::SearchDone(result)));
        }
        let mut running = Running::default();
        let is_dir_sync = request.controls.iter().any(|control| control.oid == DIR_SYNC);
        if let Some(size) = limit_page(request, state.behaviour.page_max) {
            state.pages += 1;
            running.page = Some(state.pages);
            if let Some(pages) = state.behaviour.cut_in_page {
                state.behaviour.cut_in_page = pages.checked_sub(1).filter(|&left| left > 0);
                running.cut_after = (pages == 1).then_some(size / 2);
            }
        } else if !is_dir_sync {
            running.entries_max = state.behaviour.page_max;
        }
        lock(&self.running).insert(message.id, running);
        Verdict::Forward(message)
    }

    fn response(&self, mut message: Message) -> Verdict {
        let behaviour = lock(&self.state).behaviour.clone();
        let mut all = lock(&self.running);
        match &mut message.op {
            Op::SearchEntry(entry) => {
                let Some(running) = all.get_mut(&message.id) else { return Verdict::Forward(message) };
                if behaviour.hidden.as_ref().is_some_and(|text| entry.dn().contains(text.as_str())) {
                    return Verdict::Drop;
                }
                running.entries += 1;
                if running.cut_after.is_some_and(|after| running.entries > after) {
                    return Verdict::Cut;
                }
                if running.entries_max.is_some_and(|max| running.entries > max) {
                    running.refused = true;
                    return Verdict::Drop;
                }
                *entry = rewrite(entry, &behaviour);
            }
            Op::SearchDone(result) => {
                let running = all.remove(&message.id).unwrap_or_default();
                if running.cut_after.is_some() {
                    return Verdict::Cut;
                }
                if running.refused {
                    *result = LdapResult::new(ResultCode::SizeLimitExceeded);
                }
            }
            _ => {}
        }
        Verdict::Forward(message)
    }
}

/// Lowers the size of a page to the limit; gives it, where the search is in pages.
fn limit_page(request: &mut SearchRequest, page_max: Option<i32>) -> Option<i32> {
    let mut page = PagedResults::find(&request.controls).ok().flatten()?;
    page.size = page_max.map_or(page.size, |max| page.size.min(max));
    let limited = page.to_control();
    for control in request.controls.iter_mut().filter(|control| control.oid == PAGED_RESULTS) {
        control.value.clone_from(&limited.value);
    }
    Some(page.size)
}

/// Cuts `member` into ranges as Windows does, and replaces what the server says about itself.
fn rewrite(entry: &Entry, behaviour: &Behaviour) -> Entry {
    let mut attributes: Vec<(String, Vec<Bytes>)> = Vec::new();
    for attribute in entry.attributes() {
        let mut values: Vec<Bytes> = attribute.values().collect();
        let (name, range) = RangeOption::parse(attribute.name());
        match (name.to_ascii_lowercase().as_str(), range, behaviour) {
            ("invocationid", _, Behaviour { invocation: Some(id), .. }) => {
                values = vec![Bytes::copy_from_slice(id)];
            }
            ("highestcommittedusn", _, Behaviour { usn: Some(usn), .. }) => {
                values = vec![usn.to_string().into()]
            }
            ("currenttime", _, Behaviour { current_time: Some(time), .. }) => {
                values = vec![time.clone().into()];
            }
            ("member", Some(range), Behaviour { lose_last_range: true, members_max: Some(max), .. })
                if is_open(Some(range)) && values.len() <= *max as usize =>
            {
                continue;
            }
            ("member", range, Behaviour { members_max: Some(max), .. })
                if is_open(range) && values.len() > *max as usize =>
            {
                let start = range.map_or(0, |range| range.start);
                values.truncate(*max as usize);
                if range.is_none() {
                    attributes.push((name.to_owned(), Vec::new()));
                }
                let end = start + max.saturating_sub(1);
                attributes.push((format!("{name};range={start}-{end}"), values));
                continue;
            }
            _ => {}
        }
        attributes.push((attribute.name().to_owned(), values));
    }
    let mut rewritten = Entry::build(entry.dn(), attributes);
    rewritten.controls.clone_from(&entry.controls);
    rewritten
}

/// Whether values were asked for up to the last. (DirSync's `range=0-0` and `range=1-1` are no ranges.)
fn is_open(range: Option<RangeOption>) -> bool {
    range.is_none_or(|range| range.end.is_none())
}

struct Source<R> {
    stream: R,
    frames: FrameBuffer,
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(stream: R) -> Self {
        // a real server's answers may be larger than what a client takes by default
        Self { stream, frames: FrameBuffer::new(MESSAGE_SIZE_MAX * 16) }
    }

    async fn next(&mut self) -> Option<Message> {
        let frame = self.frames.read_frame(&mut self.stream).await.ok()??;
        Message::decode(&frame).ok()
    }
}

async fn send<W: AsyncWrite + Unpin>(stream: &mut W, message: &Message) -> bool {
    match message.encode() {
        Ok(bytes) => stream.write_all(&bytes).await.is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_ranges_as_from_windows() {
        let members: Vec<String> = (0..5).map(|n| format!("CN={n}")).collect();
        let mut behaviour = Behaviour { members_max: Some(2), ..Behaviour::default() };
        let of = behaviour.clone();
        let names = |name: &str| -> Vec<(String, usize)> {
            let entry = Entry::build("CN=g", [(name, &members)]);
            rewrite(&entry, &of).attributes().map(|a| (a.name().to_owned(), a.values().count())).collect()
        };
        assert_eq!(names("member"), [("member".to_owned(), 0), ("member;range=0-1".to_owned(), 2)]);
        assert_eq!(names("member;range=2-*"), [("member;range=2-3".to_owned(), 2)]);
        assert_eq!(names("member;range=1-1"), [("member;range=1-1".to_owned(), 5)]);
        assert_eq!(names("other"), [("other".to_owned(), 5)]);
        assert_eq!(names("member;range=4-*").len(), 1);
        behaviour.lose_last_range = true;
        let entry = Entry::build("CN=g", [("member;range=4-*", &members[4..])]);
        assert_eq!(rewrite(&entry, &behaviour).attributes().count(), 0);
    }
}
