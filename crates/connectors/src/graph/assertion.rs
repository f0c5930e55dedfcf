//! Signing in with a certificate: the client assertion (RFC 7523, PS256), and the certificate's end of validity.
//!
//! Deliberately absent: every other part of X.509; the service checks the certificate, not we.

use std::time::Duration;

use aws_lc_rs::{digest, rand, rsa, signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onesync_model::Time;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::certificate::not_after;
use crate::{ConnectorError, ErrorClass};

/// How long an assertion is valid: it is used at once.
const ASSERTION_LIFE: Duration = Duration::from_secs(300);
/// How far the clocks of this machine and of the service may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// A certificate with its private key.
pub(super) struct SigningCertificate {
    thumbprint: String,
    key: rsa::KeyPair,
    /// When the certificate ends, where that can be read.
    pub(super) not_after: Option<Time>,
}

impl SigningCertificate {
    /// Reads certificate and key from PEM text.
    pub(super) fn from_pem(certificate: &str, key: &str) -> Result<Self, ConnectorError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|e| unusable(format!("the certificate is not PEM: {e}")))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|e| unusable(format!("the private key is not PEM: {e}")))?;
        let key = match &key {
            PrivateKeyDer::Pkcs8(key) => rsa::KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => rsa::KeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(unusable("the private key is no RSA key".to_owned())),
        }
        .map_err(|e| unusable(format!("the private key is no usable RSA key: {e}")))?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der));
        Ok(Self { thumbprint, key, not_after: not_after(&der) })
    }

    /// Makes a signed assertion for one request. `now` is seconds since 1970.
    pub(super) fn assertion(
        &self,
        audience: &str,
        client_id: &str,
        now: u64,
    ) -> Result<String, ConnectorError> {
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": random_guid(0)?,
            "nbf": now.saturating_sub(CLOCK_SKEW.as_secs()),
            "iat": now,
            "exp": now + ASSERTION_LIFE.as_secs(),
        });
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut tag = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&signature::RSA_PSS_SHA256, &rand::SystemRandom::new(), signed.as_bytes(), &mut tag)
            .map_err(|_| unusable("the key cannot sign".to_owned()))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }
}

/// A GUID whose first part is `prefix` and whose rest is random: request ids show the epoch that sent them.
pub(super) fn random_guid(prefix: u32) -> Result<String, ConnectorError> {
    let mut bytes = [0u8; 12];
    rand::fill(&mut bytes).map_err(|_| {
        ConnectorError::new(ErrorClass::Fatal, "GRAPH-RANDOM", "this machine", "gives no random numbers")
    })?;
    let number = bytes.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
    let hex = format!("{number:024x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    Ok(format!("{prefix:08x}-{}-4{}-a{}-{}", part(0..4), part(4..7), part(7..10), part(10..22)))
}

fn unusable(message: String) -> ConnectorError {
    ConnectorError::new(ErrorClass::Configuration, "GRAPH-CERTIFICATE", "sign-in certificate", message)
        .hint("store certificate and unencrypted RSA key in PEM with `secret set`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_carry_their_prefix() {
        let id = random_guid(0x2a).unwrap();
        assert!(super::super::settings::is_guid(&id) && id.starts_with("0000002a-"), "{id}");
        assert_ne!(id, random_guid(0x2a).unwrap());
    }

    #[test]
    fn nonsense_is_no_certificate() {
        assert!(SigningCertificate::from_pem("x", "y").is_err());
    }
}
