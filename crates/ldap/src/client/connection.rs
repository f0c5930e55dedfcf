//! One connection: numbers messages, sends requests, waits for the answers, and survives dropped futures.
//!
//! Only one operation runs at a time. When the caller drops a future or a stream halfway, its number is
//! remembered; the next operation abandons it at the server and passes over what still comes for it.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::options::{ConnectOptions, TlsMode};
use crate::control::Control;
use crate::error::LdapError;
use crate::frame::FrameBuffer;
use crate::message::{Message, NOTICE_OF_DISCONNECTION, Op};

/// How many abandoned operations are remembered: answers to older ones have long been passed over.
const ABANDONED_MAX: usize = 64;

/// Both directions of a stream.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// One connection to a server.
pub struct Client {
    io: Box<dyn Io>,
    frames: FrameBuffer,
    pub(super) server: Arc<str>,
    pub(super) timeout: Duration,
    pub(super) may_send_password: bool,
    last_id: i32,
    /// The operation whose last answer has not come yet.
    in_flight: Option<i32>,
    abandoned: VecDeque<i32>,
    /// Set when the two sides may no longer agree on where a message begins.
    broken: bool,
    /// The certificate that the server showed, in DER.
    certificate: Option<Vec<u8>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.server).field("broken", &self.broken).finish()
    }
}

impl Client {
    pub(super) fn from_parts(io: Box<dyn Io>, server: Arc<str>, options: &ConnectOptions) -> Self {
        Self {
            io,
            frames: FrameBuffer::new(options.message_size_max),
            server,
            timeout: options.operation_timeout,
            may_send_password: options.tls != TlsMode::None || options.allow_plaintext_password,
            last_id: 0,
            in_flight: None,
            abandoned: VecDeque::new(),
            broken: false,
            certificate: None,
        }
    }

    pub(super) fn with_certificate(self, certificate: Option<Vec<u8>>) -> Self {
        Self { certificate, ..self }
    }

    /// The certificate that the server showed, in DER; `None` on an unencrypted connection.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Uses a stream that is open already, such as one within this process. It counts as unencrypted
    /// unless the options name an encryption.
    pub fn over<S>(stream: S, options: &ConnectOptions) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    {
        Self::from_parts(Box::new(stream), Arc::from(options.server()), options)
    }

    /// Gives server and port.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Says whether the connection can still be used, as far as this side knows without asking.
    pub const fn is_usable(&self) -> bool {
        !self.broken
    }

    /// Looks whether the server has closed the idle connection or said that it will; never waits.
    pub(super) async fn is_alive(&mut self) -> bool {
        // answers to what was dropped may still come
        let expects = self.in_flight.is_some() || !self.abandoned.is_empty();
        if self.broken || !self.frames.is_empty() {
            return !self.broken && expects;
        }
        let read = {
            let mut fill = std::pin::pin!(self.frames.fill(&mut *self.io));
            poll_fn(|context| Poll::Ready(fill.as_mut().poll(context))).await
        };
        match read {
            Poll::Pending => true,
            // without an operation a server has nothing to say but good-bye
            Poll::Ready(Ok(read)) => read > 0 && expects,
            Poll::Ready(Err(_)) => false,
        }
    }

    /// Sends a request and gives its number.
    pub(super) async fn send(
        &mut self,
        operation: &'static str,
        op: Op,
        controls: Vec<Control>,
    ) -> Result<i32, LdapError> {
        if self.broken {
            return Err(self.lost(operation));
        }
        let request = |source| LdapError::Request { operation, source };
        let id = self.next_id();
        let mut frames = Vec::new();
        let unfinished = self.in_flight.take();
        if let Some(unfinished) = unfinished {
            self.remember_abandoned(unfinished);
            let abandon_id = self.next_id();
            let abandon = Message::new(abandon_id, Op::AbandonRequest(unfinished));
            frames.extend_from_slice(&abandon.encode().map_err(request)?);
        }
        frames.extend_from_slice(&Message { id, op, controls }.encode().map_err(request)?);
        // the frame may hold a password
        let frames = zeroize::Zeroizing::new(frames);
        self.write(operation, &frames).await?;
        self.in_flight = Some(id);
        Ok(id)
    }

    async fn write(&mut self, operation: &'static str, bytes: &[u8]) -> Result<(), LdapError> {
        let after = self.timeout;
        // stays set when this future is dropped halfway
        self.broken = true;
        let written = timeout(after, async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        });
        match written.await {
            Ok(Ok(())) => {
                self.broken = false;
                Ok(())
            }
            Ok(Err(source)) => {
                let server = self.server.to_string();
                Err(self.last_words().unwrap_or(LdapError::Lost { server, operation, source: Some(source) }))
            }
            Err(_) => Err(LdapError::Timeout { server: self.server.to_string(), operation, after }),
        }
    }

    /// Gives the reason for which the server closed the connection, if it is in the buffer already.
    fn last_words(&mut self) -> Option<LdapError> {
        let frame = self.frames.next_frame().ok()??;
        self.notice(Message::decode(&frame).ok()?)
    }

    fn next_id(&mut self) -> i32 {
        self.last_id = if self.last_id == i32::MAX { 1 } else { self.last_id + 1 };
        self.last_id
    }

    fn remember_abandoned(&mut self, id: i32) {
        if self.abandoned.len() == ABANDONED_MAX {
            self.abandoned.pop_front();
        }
        self.abandoned.push_back(id);
    }

    /// Waits for the next message that answers the operation of this number.
    ///
    /// `silence_max` bounds the wait for one message; `None` waits for ever.
    pub(super) async fn receive(
        &mut self,
        operation: &'static str,
        id: i32,
        silence_max: Option<Duration>,
    ) -> Result<Message, LdapError> {
        if self.broken {
            return Err(self.lost(operation));
        }
        // most messages of a search are in the buffer already: no timer for them
        if let Some(message) = self.take_buffered(operation, id)? {
            return Ok(message);
        }
        let Some(after) = silence_max else { return self.receive_more(operation, id).await };
        match timeout(after, self.receive_more(operation, id)).await {
            Ok(received) => received,
            Err(_) => Err(LdapError::Timeout { server: self.server.to_string(), operation, after }),
        }
    }

    async fn receive_more(&mut self, operation: &'static str, id: i32) -> Result<Message, LdapError> {
        loop {
            match self.frames.fill(&mut *self.io).await {
                Ok(0) => {
                    self.broken = true;
                    return Err(self.lost(operation));
                }
                Ok(_) => {}
                Err(source) => {
                    self.broken = true;
                    let server = self.server.to_string();
                    return Err(LdapError::Lost { server, operation, source: Some(source) });
                }
            }
            if let Some(message) = self.take_buffered(operation, id)? {
                return Ok(message);
            }
        }
    }

    /// Takes the next message for this operation out of the buffer, passing over what belongs to none.
    fn take_buffered(&mut self, operation: &'static str, id: i32) -> Result<Option<Message>, LdapError> {
        loop {
            let frame = match self.frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.broken = true;
                    return Err(LdapError::from_frame(error, &self.server, operation));
                }
            };
            let message = match Message::decode(&frame) {
                Ok(message) => message,
                Err(source) => {
                    self.broken = true;
                    return Err(LdapError::Malformed { server: self.server.to_string(), source });
                }
            };
            if message.id == id {
                return Ok(Some(message));
            }
            if message.id == 0 {
                if let Some(error) = self.notice(message) {
                    return Err(error);
                }
                continue; // other announcements may be ignored (RFC 4511 section 4.4)
            }
            if !self.abandoned.contains(&message.id) {
                let detail = format!("a {} answers message {}, never asked", message.op.name(), message.id);
                return Err(self.protocol_error(operation, detail));
            }
        }
    }

    /// Recognises the Notice of Disconnection.
    fn notice(&mut self, message: Message) -> Option<LdapError> {
        match message.op {
            Op::ExtendedResponse(response)
                if message.id == 0 && response.name.as_deref() == Some(NOTICE_OF_DISCONNECTION) =>
            {
                self.broken = true;
                Some(LdapError::Disconnected { server: self.server.to_string(), result: response.result })
            }
            _ => None,
        }
    }

    /// Notes that the last answer of the running operation has come.
    pub(super) fn finished(&mut self) {
        self.in_flight = None;
    }

    /// Gives up the connection for an answer that makes no sense.
    pub(super) fn protocol_error(&mut self, operation: &'static str, detail: String) -> LdapError {
        self.broken = true;
        LdapError::Protocol { server: self.server.to_string(), operation, detail }
    }

    fn lost(&self, operation: &'static str) -> LdapError {
        LdapError::Lost { server: self.server.to_string(), operation, source: None }
    }

    /// Takes leave of the server and closes the connection.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub async fn unbind(mut self) -> Result<(), LdapError> {
        const OPERATION: &str = "unbind";
        if self.broken {
            return Err(self.lost(OPERATION));
        }
        let id = self.next_id();
        let frame = Message::new(id, Op::UnbindRequest)
            .encode()
            .map_err(|source| LdapError::Request { operation: OPERATION, source })?;
        self.write(OPERATION, &frame).await?;
        let closed = poll_fn(|context| Pin::new(&mut *self.io).poll_shutdown(context));
        // the server may have closed first; there is nobody left to tell
        let _ = timeout(self.timeout, closed).await;
        Ok(())
    }
}
