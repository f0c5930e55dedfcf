//! A fake server: it listens on loopback, decodes requests, and lets a script of the test answer.

use bytes::Bytes;
use onesync_ldap::control::Control;
use onesync_ldap::frame::{FrameBuffer, MESSAGE_SIZE_MAX};
use onesync_ldap::{ConnectOptions, Entry, LdapResult, Message, Op, ResultCode};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The server's side of one connection.
pub struct Peer<S = TcpStream> {
    pub stream: S,
    frames: FrameBuffer,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, frames: FrameBuffer::new(MESSAGE_SIZE_MAX) }
    }

    /// The next request; `None` when the client has left.
    pub async fn request(&mut self) -> Option<Message> {
        let frame = self.frames.read_frame(&mut self.stream).await.ok()??;
        Some(Message::decode(&frame).expect("our client sends well-formed requests"))
    }

    /// The next request, which must come.
    pub async fn expect(&mut self) -> Message {
        self.request().await.expect("a request")
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the client still reads");
    }

    pub async fn send(&mut self, id: i32, op: Op) {
        self.send_with(id, op, Vec::new()).await;
    }

    pub async fn send_with(&mut self, id: i32, op: Op, controls: Vec<Control>) {
        let frame: Bytes = Message { id, op, controls }.encode().expect("encodable");
        self.raw(&frame).await;
    }

    pub async fn entry(&mut self, id: i32, number: usize) {
        self.send(id, Op::SearchEntry(entry(number))).await;
    }

    pub async fn done(&mut self, id: i32, code: ResultCode) {
        self.send(id, Op::SearchDone(LdapResult::new(code))).await;
    }

    /// Waits until the client leaves.
    pub async fn until_closed(mut self) {
        while self.request().await.is_some() {}
    }
}

/// An entry that can be told from others.
pub fn entry(number: usize) -> Entry {
    let cn = format!("user{number}");
    Entry::build(
        &format!("CN={cn},DC=example,DC=test"),
        [("cn", vec![cn.as_str()]), ("objectClass", vec!["top", "user"])],
    )
}

/// Serves each connection with a script; gives options that reach it. An assertion that fails in the script
/// closes the connection, which the client's side of the test then sees.
pub async fn serve<F, R>(mut script: F) -> (ConnectOptions, JoinHandle<()>)
where
    F: FnMut(usize, Peer) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let task = tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(script(number, Peer::new(stream)));
        }
    });
    (ConnectOptions::new(&format!("ldap://127.0.0.1:{port}")).expect("an address"), task)
}
