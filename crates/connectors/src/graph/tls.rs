//! The HTTP client: rustls with aws-lc-rs, the system's roots and those of `ca_file`, the configured proxy only.
//!
//! Deliberately absent: the proxy variables of the environment (a service started by hand and one started by the
//! system would go different ways), HTTP/2, redirects (a token must not follow one).

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret as _, SecretString};

use super::settings::GraphSettings;
use crate::{ConnectorError, ErrorClass};

/// A server that does not take a connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A whole answer takes at most this long; the service itself gives up after about 100 seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Makes the client for these settings.
pub(super) fn client(
    settings: &GraphSettings,
    proxy_password: Option<&SecretString>,
) -> Result<reqwest::Client, ConnectorError> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config(settings)?)
        .user_agent(concat!("OneSync/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .no_proxy();
    if let Some(proxy) = &settings.proxy {
        let place = format!("proxy {}", proxy.url);
        let mut way = reqwest::Proxy::all(&proxy.url).map_err(|e| {
            ConnectorError::new(ErrorClass::Configuration, "GRAPH-PROXY", place, format!("no proxy URL: {e}"))
                .hint("write `proxy = { url = \"http://host:port\" }`")
        })?;
        if let Some(user) = &proxy.username {
            way = way.basic_auth(user, proxy_password.map_or("", |p| p.expose_secret()));
        }
        builder = builder.proxy(way);
    }
    builder.build().map_err(|e| {
        ConnectorError::new(ErrorClass::Fatal, "GRAPH-CLIENT", "HTTP client", format!("cannot be made: {e}"))
    })
}

fn tls_config(settings: &GraphSettings) -> Result<rustls::ClientConfig, ConnectorError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let extra = match &settings.ca_file {
        Some(path) => read_authorities(path)?,
        None => Vec::new(),
    };
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| tls_error("TLS", format!("no protocol version: {e}")))?;
    let config = match Verifier::new_with_extra_roots(extra.iter().cloned(), provider) {
        Ok(verifier) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        // A machine without any certification authorities (a bare container): `ca_file` alone is enough then.
        Err(_) => builder.with_root_certificates(only(extra)?).with_no_client_auth(),
    };
    Ok(config)
}

fn only(authorities: Vec<CertificateDer<'static>>) -> Result<rustls::RootCertStore, ConnectorError> {
    let mut store = rustls::RootCertStore::empty();
    for authority in authorities {
        store.add(authority).map_err(|e| tls_error("ca_file", format!("not a certificate: {e}")))?;
    }
    Ok(store)
}

fn read_authorities(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let place = format!("ca_file {}", path.display());
    let pem = std::fs::read(path).map_err(|e| tls_error(&place, format!("cannot be read: {e}")))?;
    let found = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| tls_error(&place, format!("is not PEM: {e}")))?;
    if found.is_empty() {
        return Err(tls_error(&place, "has no certificate in it".to_owned()));
    }
    Ok(found)
}

fn tls_error(place: &str, message: String) -> ConnectorError {
    ConnectorError::new(ErrorClass::Configuration, "GRAPH-TLS", place, message)
        .hint("name a readable PEM file with the authority's certificate")
}
