//! TLS of the simulator: a certificate given, or one made for loopback with its own authority.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::SimError;

/// Which certificate the simulator shows.
#[derive(Clone, Debug)]
pub enum TlsConfig {
    /// One made at start for `localhost`, `127.0.0.1` and `::1`; its authority is `ca_pem()`.
    Generate,
    /// One given as PEM.
    Pem {
        /// Certificate chain, the server's first.
        certificates: String,
        /// Private key.
        key: String,
    },
}

fn broken(error: impl std::fmt::Display) -> SimError {
    SimError::Tls(error.to_string())
}

/// Makes the acceptor, and tells the authority to trust when it made one.
pub(crate) fn acceptor(config: &TlsConfig) -> Result<(TlsAcceptor, Option<String>), SimError> {
    let (chain_pem, key_pem, ca) = match config {
        TlsConfig::Pem { certificates, key } => (certificates.clone(), key.clone(), None),
        TlsConfig::Generate => {
            let made = generate().map_err(broken)?;
            (made.certificate, made.key, Some(made.authority))
        }
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>().map_err(broken)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(broken)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(broken)?;
    Ok((TlsAcceptor::from(Arc::new(server)), ca))
}

struct Made {
    certificate: String,
    key: String,
    authority: String,
}

fn generate() -> Result<Made, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "onesync-graphsim authority");
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "onesync-graphsim");
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok(Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        authority: authority_certificate.pem(),
    })
}
