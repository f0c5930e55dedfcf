//! From options to a connection: name, TCP, encryption.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::connection::Client;
use super::options::{ConnectOptions, TlsMode};
use super::tls::encrypt;
use crate::error::{LdapError, TlsProblem};
use crate::frame::FrameBuffer;
use crate::message::{ExtendedRequest, Message, Op, START_TLS};

/// Number of the StartTLS request: it is the first message of its connection.
const START_TLS_ID: i32 = 1;

impl Client {
    /// Connects to a server, encrypted as the options say. Nobody is bound yet.
    ///
    /// # Errors
    /// When the server cannot be found or reached, is too slow, or cannot be trusted.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, LdapError> {
        let after = options.connect_timeout;
        let connected = timeout(after, connect(options)).await;
        connected.unwrap_or_else(|_| Err(LdapError::ConnectTimeout { server: options.server(), after }))
    }
}

async fn connect(options: &ConnectOptions) -> Result<Client, LdapError> {
    let mut stream = open(options).await?;
    let server = Arc::from(options.server());
    match options.tls {
        TlsMode::None => return Ok(Client::from_parts(Box::new(stream), server, options)),
        TlsMode::Ldaps => {}
        TlsMode::StartTls => start_tls(options, &mut stream).await?,
    }
    let stream = encrypt(options, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|all| Some(all.first()?.to_vec()));
    Ok(Client::from_parts(Box::new(stream), server, options).with_certificate(shown))
}

async fn open(options: &ConnectOptions) -> Result<TcpStream, LdapError> {
    let unresolved = |source| LdapError::Resolve { host: options.host.clone(), source };
    let addresses = lookup_host((options.host.as_str(), options.port)).await.map_err(unresolved)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // a request is one small write: waiting for more only adds latency; a refusal does no harm
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    let reason = match last.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused: check the port, and that it runs",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no route to it: check address and network"
        }
        io::ErrorKind::AddrNotAvailable => "the name has no usable address: check the name",
        _ => "the network failed",
    };
    Err(LdapError::Connect { server: options.server(), reason, source: last })
}

/// Asks for encryption on a plain connection.
async fn start_tls(options: &ConnectOptions, stream: &mut TcpStream) -> Result<(), LdapError> {
    const OPERATION: &str = "StartTLS";
    let server = options.server();
    let lost = |source| LdapError::Lost { server: options.server(), operation: OPERATION, source };
    let request = Op::ExtendedRequest(ExtendedRequest { name: START_TLS.to_owned(), value: None });
    let request = Message::new(START_TLS_ID, request)
        .encode()
        .map_err(|source| LdapError::Request { operation: OPERATION, source })?;
    stream.write_all(&request).await.map_err(|error| lost(Some(error)))?;
    let mut frames = FrameBuffer::new(options.message_size_max);
    let frame = frames
        .read_frame(stream)
        .await
        .map_err(|error| LdapError::from_frame(error, &server, OPERATION))?
        .ok_or_else(|| lost(None))?;
    let message =
        Message::decode(&frame).map_err(|source| LdapError::Malformed { server: server.clone(), source })?;
    let Op::ExtendedResponse(response) = message.op else {
        let detail = format!("a {} came instead of its response", message.op.name());
        return Err(LdapError::Protocol { server, operation: OPERATION, detail });
    };
    if message.id == 0 {
        return Err(LdapError::Disconnected { server, result: response.result });
    }
    if message.id != START_TLS_ID {
        let detail = format!("the response has the number {} instead of {START_TLS_ID}", message.id);
        return Err(LdapError::Protocol { server, operation: OPERATION, detail });
    }
    if !response.result.is_success() {
        let problem = TlsProblem::Other(format!("it refused StartTLS: {}", response.result));
        return Err(LdapError::Tls { server, problem });
    }
    // bytes that wait here came unencrypted: whoever sent them wants them to be taken for encrypted ones
    if !frames.is_empty() {
        let detail = "unencrypted bytes follow the response".to_owned();
        return Err(LdapError::Protocol { server, operation: OPERATION, detail });
    }
    Ok(())
}
