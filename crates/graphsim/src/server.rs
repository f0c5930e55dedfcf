//! HTTP/1.1 over plain TCP or TLS: the door, and the faults that only the wire can play.
//!
//! Deliberately absent: HTTP/2, compression, keep-alive limits.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, Incoming as HyperBody, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;

use crate::control;
use crate::message::Body;
use crate::service::{self, Incoming, IncomingBody, Outcome, Wire};
use crate::world::World;

/// Largest body of a Graph request: the service refuses above about this size.
const BODY_MAX: usize = 4 * 1024 * 1024;
/// Largest body of a control request: a seed of a million users.
const CONTROL_BODY_MAX: usize = 1024 * 1024 * 1024;
/// Pieces a slow body comes in.
const SLOW_PIECES: usize = 8;

/// The world behind its lock.
pub(crate) struct Shared {
    world: Mutex<World>,
    tls: bool,
}

impl Shared {
    pub(crate) fn new(world: World, tls: bool) -> Shared {
        Shared { world: Mutex::new(world), tls }
    }

    /// Locks the world; a panic of another thread does not close the simulator.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until told to stop; open ones are then closed.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Small answers must not wait for more.
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&shared);
                let tls = tls.clone();
                connections.spawn(async move {
                    match tls {
                        None => connection(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, shared).await;
                            }
                        }
                    }
                });
            }
            // Finished connections are collected, so that the set does not grow.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = stop.changed() => break,
        }
    }
    connections.shutdown().await;
}

async fn connection<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { respond(&shared, request).await }
    });
    // An error here is the client's going away, or a fault on order.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(shared: &Shared, request: Request<HyperBody>) -> Result<Response<Pieces>, io::Error> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let is_control = path.starts_with(control::PREFIX);
    let limit = if is_control { CONTROL_BODY_MAX } else { BODY_MAX };
    let Ok(body) = Limited::new(body, limit).collect().await else {
        return respond_plain(
            413,
            "application/json",
            Bytes::from_static(
                b"{\"error\":{\"code\":\"RequestEntityTooLarge\",\"message\":\"The request is too large.\"}}",
            ),
        );
    };
    let body = body.to_bytes();
    if is_control {
        let (status, value) =
            control::handle(&mut shared.world(), head.method.as_str(), &path, &query, &body);
        return respond_plain(status, "application/json", Bytes::from(value.to_string()));
    }
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
    let scheme = if shared.tls { "https" } else { "http" };
    let incoming = Incoming {
        method: head.method.as_str().to_owned(),
        base: format!("{scheme}://{}", header("host")),
        body: read_body(header("content-type"), &body),
        path,
        query,
        item: None,
        headers,
    };
    let (outcome, cleared) = {
        let mut world = shared.world();
        // Taken with the strike: a clearing between it and the answer is not missed.
        let cleared = world.faults.cleared();
        (service::run(&mut world, incoming), cleared)
    };
    deliver(outcome, cleared).await
}

fn read_body(media: &str, body: &Bytes) -> IncomingBody {
    if body.is_empty() {
        return IncomingBody::None;
    }
    if media.starts_with("application/x-www-form-urlencoded") {
        return IncomingBody::Form(String::from_utf8_lossy(body).into_owned());
    }
    serde_json::from_slice(body).map_or(IncomingBody::Broken, IncomingBody::Json)
}

async fn deliver(outcome: Outcome, mut cleared: watch::Receiver<()>) -> Result<Response<Pieces>, io::Error> {
    let Outcome { resp, wire } = outcome;
    let bytes = match resp.body {
        Body::None => Bytes::new(),
        Body::Json(value) => Bytes::from(value.to_string()),
        Body::Text(text) | Body::Html(text) => Bytes::from(text),
    };
    let half = bytes.slice(..bytes.len() / 2);
    let pieces = match wire {
        Wire::Reset => return Err(io::Error::other("connection closed on order")),
        Wire::Normal => Pieces::whole(bytes),
        Wire::CutJson => Pieces::whole(half),
        Wire::Truncate => Pieces {
            pieces: VecDeque::from([half]),
            fail: true,
            total: bytes.len() as u64,
            ..Pieces::default()
        },
        Wire::Delay(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Pieces::whole(bytes)
        }
        Wire::Hold => {
            cleared.changed().await.map_err(io::Error::other)?;
            Pieces::whole(bytes)
        }
        Wire::SlowBody(ms) => {
            let size = bytes.len().div_ceil(SLOW_PIECES).max(1);
            let pieces =
                (0..bytes.len()).step_by(size).map(|at| bytes.slice(at..(at + size).min(bytes.len())));
            let pause = Some(Duration::from_millis(ms));
            Pieces { pieces: pieces.collect(), total: bytes.len() as u64, pause, ..Pieces::default() }
        }
    };
    let mut response = Response::builder().status(resp.status);
    for (name, value) in resp.headers {
        response = response.header(name, value);
    }
    response.body(pieces).map_err(io::Error::other)
}

fn respond_plain(status: u16, media: &str, body: Bytes) -> Result<Response<Pieces>, io::Error> {
    let response = Response::builder().status(status).header("Content-Type", media);
    response.body(Pieces::whole(body)).map_err(io::Error::other)
}

/// A body in pieces, with pauses, perhaps without its end.
#[derive(Default)]
struct Pieces {
    pieces: VecDeque<Bytes>,
    /// Length told to the client.
    total: u64,
    pause: Option<Duration>,
    sleeping: Option<Pin<Box<Sleep>>>,
    fail: bool,
}

impl Pieces {
    fn whole(bytes: Bytes) -> Pieces {
        let total = bytes.len() as u64;
        let pieces = if bytes.is_empty() { VecDeque::new() } else { VecDeque::from([bytes]) };
        Pieces { pieces, total, ..Pieces::default() }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pause) = self.pause.filter(|_| !self.pieces.is_empty()) {
            let sleeping = self.sleeping.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if sleeping.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleeping = None;
        }
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.fail => {
                self.fail = false;
                Poll::Ready(Some(Err(io::Error::other("connection closed on order"))))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && !self.fail
    }

    fn size_hint(&self) -> SizeHint {
        let gone_or_fresh: u64 = self.pieces.iter().map(|p| p.len() as u64).sum();
        if self.fail { SizeHint::with_exact(self.total) } else { SizeHint::with_exact(gone_or_fresh) }
    }
}
