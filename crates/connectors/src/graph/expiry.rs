//! When what this connector depends on ends: its credential, the authorities of `ca_file`.
//!
//! A certificate tells its end by itself. A client secret does not: the application's object is asked, where the
//! permission is there.

use onesync_model::Time;
use secrecy::ExposeSecret as _;
use serde_json::Value as Json;

use super::GraphConnector;
use super::http::literal;
use super::token::Credential;
use crate::certificate::expiries_in;
use crate::{ConnectorError, Expiry};

impl GraphConnector {
    pub(super) async fn ends(&self) -> Result<Vec<Expiry>, ConnectorError> {
        let mut ends: Vec<Expiry> = self.credential_end().await.into_iter().collect();
        ends.extend(self.settings.ca_file.iter().flat_map(|path| expiries_in(path)));
        Ok(ends)
    }

    /// The end of the credential; `None` where it cannot be read.
    pub(super) async fn credential_end(&self) -> Option<Expiry> {
        let named = |what: &str| format!("{what} of application {}", self.settings.client_id);
        let secret = match self.api.tokens.credential() {
            Credential::Certificate(certificate) => {
                let at = certificate.not_after?;
                return Some(Expiry { what: named("the certificate"), at });
            }
            Credential::Secret(secret) => secret,
            Credential::Unusable(_) => return None,
        };
        let filter = format!(
            "applications?$filter=appId%20eq%20{}&$select=id,passwordCredentials",
            literal(&self.settings.client_id)
        );
        let found = self.api.get(&filter).await.ok()?;
        let secrets = found.pointer("/value/0/passwordCredentials")?.as_array()?;
        // The service shows the first characters of each; of several that fit, the last to end is the best hope.
        let fits = |known: &&Json| {
            let hint = known.get("hint").and_then(Json::as_str).filter(|hint| !hint.is_empty());
            hint.is_none_or(|hint| secret.expose_secret().starts_with(hint))
        };
        let end = |known: &Json| known.get("endDateTime").and_then(Json::as_str)?.parse::<Time>().ok();
        let at = secrets.iter().filter(fits).filter_map(end).max()?;
        Some(Expiry { what: named("the client secret"), at })
    }
}
