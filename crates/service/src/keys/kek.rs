//! Where the key-encryption key is to come from, as people write it.

use onesync_vault::{KEK_CREDENTIAL, Kek, TokenKey};

use crate::error::ServiceError;

/// Reads `file`, `file:PATH`, `credential`, `credential:NAME` or `pkcs11:MODULE?token=LABEL&key=LABEL&pin=FILE`.
///
/// # Errors
/// When it is none of them.
pub fn parse(text: &str) -> Result<Kek, ServiceError> {
    let (source, rest) = text.split_once(':').map_or((text, None), |(source, rest)| (source, Some(rest)));
    match (source, rest) {
        ("file", None) => Ok(Kek::default()),
        ("file", Some(path)) if !path.is_empty() => Ok(Kek::File { path: path.into() }),
        ("credential", None) => Ok(Kek::Credential { name: KEK_CREDENTIAL.to_owned() }),
        ("credential", Some(name)) if !name.is_empty() && !name.contains('/') => {
            Ok(Kek::Credential { name: name.to_owned() })
        }
        ("pkcs11", Some(rest)) => token(rest).ok_or_else(|| {
            ServiceError::usage(
                format!("`{text}` names no key on a token"),
                "write `pkcs11:/usr/lib/MODULE.so?token=LABEL&key=LABEL&pin=FILE`; `pin=credential:NAME` takes the PIN from a \
                 credential of systemd",
            )
        }),
        _ => Err(ServiceError::usage(
            format!("`{text}` names no source of a key-encryption key"),
            "write `file`, `file:/PATH` (a relative one begins in the home), `credential`, `credential:NAME` or `pkcs11:MODULE?token=LABEL&key=LABEL&pin=FILE`",
        )),
    }
}

fn token(text: &str) -> Option<Kek> {
    let (module, rest) = text.split_once('?')?;
    let mut parts = std::collections::BTreeMap::new();
    for part in rest.split('&') {
        let (name, value) = part.split_once('=')?;
        if value.is_empty() || parts.insert(name, value.to_owned()).is_some() {
            return None;
        }
    }
    let (token, key, pin) = (parts.remove("token")?, parts.remove("key")?, parts.remove("pin")?);
    (parts.is_empty() && module.starts_with('/'))
        .then(|| Kek::Pkcs11(TokenKey { module: module.into(), token, key, pin }))
}
