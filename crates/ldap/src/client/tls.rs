//! Encryption: whom we trust, who we are, and what a failed handshake means for a person.
//!
//! The provider of cryptography is passed explicitly; nothing global is installed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::options::{ClientIdentity, ConnectOptions};
use crate::error::{LdapError, TlsProblem};

/// Encrypts a fresh connection.
pub(super) async fn encrypt(
    options: &ConnectOptions,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, LdapError> {
    let config = client_config(options).await?;
    let name = options.tls_server_name.as_deref().unwrap_or(&options.host);
    let name = ServerName::try_from(name.to_owned()).map_err(|_| LdapError::Settings {
        server: options.server(),
        reason: "the name of the server is no host name, so no certificate can hold it",
    })?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| handshake_error(options, &error))
}

async fn client_config(options: &ConnectOptions) -> Result<Arc<ClientConfig>, LdapError> {
    let problem = |error: rustls::Error| tls_error(options, TlsProblem::Other(error.to_string()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(problem)?;
    let builder = match authorities(options).await? {
        Some(roots) => builder.with_root_certificates(roots),
        None => {
            let verifier = Verifier::new(provider).map_err(problem)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let config = match &options.client_identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = read_identity(identity).await?;
            builder.with_client_auth_cert(chain, key).map_err(|error| LdapError::File {
                what: "client certificate",
                path: identity.certificate_file.clone(),
                reason: error.to_string(),
            })?
        }
    };
    Ok(Arc::new(config))
}

/// Reads the authorities that are set; `None` leaves it to the system.
async fn authorities(options: &ConnectOptions) -> Result<Option<RootCertStore>, LdapError> {
    if options.ca_file.is_none() && options.ca_pem.is_none() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_file {
        let pem = read_file("CA file", path).await?;
        let wrong = |reason| LdapError::File { what: "CA file", path: path.clone(), reason };
        add_authorities(&mut roots, &pem).map_err(wrong)?;
    }
    if let Some(pem) = &options.ca_pem {
        add_authorities(&mut roots, pem).map_err(|reason| LdapError::File {
            what: "CA text",
            path: "ca_pem".into(),
            reason,
        })?;
    }
    Ok(Some(roots))
}

fn add_authorities(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("it is no PEM file ({error})"))?;
        roots.add(certificate).map_err(|error| format!("a certificate in it cannot be used ({error})"))?;
    }
    if roots.len() == before { Err("it holds no PEM certificate".to_owned()) } else { Ok(()) }
}

async fn read_identity(
    identity: &ClientIdentity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), LdapError> {
    let pem = read_file("client certificate", &identity.certificate_file).await?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| LdapError::File {
            what: "client certificate",
            path: identity.certificate_file.clone(),
            reason: error.to_string(),
        })?;
    let pem = zeroize::Zeroizing::new(read_file("client key", &identity.key_file).await?);
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| LdapError::File {
        what: "client key",
        path: identity.key_file.clone(),
        reason: error.to_string(),
    })?;
    Ok((chain, key))
}

async fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, LdapError> {
    tokio::fs::read(path).await.map_err(|error| LdapError::File {
        what,
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn tls_error(options: &ConnectOptions, problem: TlsProblem) -> LdapError {
    LdapError::Tls { server: options.server(), problem }
}

fn handshake_error(options: &ConnectOptions, error: &io::Error) -> LdapError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let problem = match inner {
        Some(rustls::Error::InvalidCertificate(certificate)) => certificate_problem(certificate),
        Some(rustls::Error::InvalidMessage(_)) => TlsProblem::NotTls,
        Some(other) => TlsProblem::Other(other.to_string()),
        None if is_closed(error) => TlsProblem::Closed,
        None => TlsProblem::Other(error.to_string()),
    };
    tls_error(options, problem)
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn certificate_problem(error: &CertificateError) -> TlsProblem {
    match error {
        // a bad signature is what an authority looks like that was made anew under the same name
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UntrustedIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsProblem::NotYetValid
        }
        CertificateError::NotValidForName => TlsProblem::WrongName { presented: "not shown".to_owned() },
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = if presented.is_empty() { "it holds none".to_owned() } else { presented.join(", ") };
            TlsProblem::WrongName { presented: names }
        }
        other => TlsProblem::Other(format!("its certificate cannot be used ({other})")),
    }
}
