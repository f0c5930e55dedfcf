//! Access tokens: client credentials, cached, asked for again before they end, by one caller at a time.
//!
//! Deliberately absent: signing in as a person; tokens on disk.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::assertion::SigningCertificate;
use super::error::transport;
use crate::{ConnectorError, ErrorClass};

/// A token is asked for again this long before its end, so that none ends while a request is under way.
const REFRESH_BEFORE: Duration = Duration::from_secs(300);
/// What a token's life is taken for where the answer does not say.
const LIFE_DEFAULT_S: u64 = 3599;

/// What the application proves its identity with.
pub(super) enum Credential {
    /// A client secret.
    Secret(SecretString),
    /// A certificate with its key.
    Certificate(Box<SigningCertificate>),
    /// A stored secret is missing or of no use: told when a token is needed, since a secret can be set meanwhile.
    Unusable(Box<ConnectorError>),
}

/// Gets and keeps the access token of one application.
pub(super) struct TokenClient {
    url: String,
    tenant: String,
    client_id: String,
    scope: String,
    /// Name of the stored secret, for messages.
    secret_name: String,
    credential: Credential,
    // Held while asking: the others wait for the one answer instead of asking too.
    held: Mutex<Option<Token>>,
}

/// An access token and what is known of it.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: SecretString,
    /// Application permissions (`roles` of the token).
    pub(super) roles: Vec<String>,
    refresh_at: Instant,
}

impl TokenClient {
    pub(super) fn new(settings: &super::GraphSettings, credential: Credential) -> Self {
        let login = settings.login_url.trim_end_matches('/');
        Self {
            url: format!("{login}/{}/oauth2/v2.0/token", settings.tenant),
            tenant: settings.tenant.clone(),
            client_id: settings.client_id.clone(),
            scope: format!("{}/.default", settings.graph_url.trim_end_matches('/')),
            secret_name: settings
                .secret
                .as_ref()
                .or(settings.certificate.as_ref())
                .cloned()
                .unwrap_or_default(),
            credential,
            held: Mutex::new(None),
        }
    }

    /// A token that is good for a while.
    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Token, ConnectorError> {
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref()
            && Instant::now() < token.refresh_at
        {
            return Ok(token.clone());
        }
        let token = self.ask(http).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// Forgets a token that the service refused.
    pub(super) async fn forget(&self, refused: &Token) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|t| t.text.expose_secret() == refused.text.expose_secret()) {
            *held = None;
        }
    }

    /// What the application proves its identity with.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Asks once: whoever wants the token repeats a transient failure together with his request.
    async fn ask(&self, http: &reqwest::Client) -> Result<Token, ConnectorError> {
        let mut form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.client_id.clone()),
            ("scope", self.scope.clone()),
        ];
        match &self.credential {
            Credential::Unusable(error) => return Err((**error).clone()),
            Credential::Secret(secret) => form.push(("client_secret", secret.expose_secret().to_owned())),
            Credential::Certificate(certificate) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
                let assertion = certificate.assertion(&self.url, &self.client_id, now)?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_assertion_type", kind.to_owned()));
                form.push(("client_assertion", assertion));
            }
        }
        let lost = |e: reqwest::Error| transport(&e, &self.url);
        let answer = http.post(&self.url).form(&form).send().await.map_err(lost)?;
        let status = answer.status().as_u16();
        let retry_after = super::http::retry_after(answer.headers());
        let text = answer.text().await.map_err(lost)?;
        let body: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
        let token = body.get("access_token").and_then(Json::as_str);
        if let (200, Some(token)) = (status, token) {
            let life = body.get("expires_in").and_then(Json::as_u64).unwrap_or(LIFE_DEFAULT_S);
            let life = Duration::from_secs(life);
            // Of a very short life at least half is used.
            let usable = life.saturating_sub(REFRESH_BEFORE).max(life / 2);
            return Ok(Token {
                roles: roles(token),
                text: SecretString::from(token.to_owned()),
                refresh_at: Instant::now() + usable,
            });
        }
        Err(self.refusal(status, retry_after, &body, &text))
    }

    /// What the sign-in service's refusal means, and what to do.
    fn refusal(&self, status: u16, retry_after: Option<Duration>, body: &Json, text: &str) -> ConnectorError {
        let description = body.get("error_description").and_then(Json::as_str).unwrap_or_default();
        let code = body.pointer("/error_codes/0").and_then(Json::as_u64).or_else(|| aadsts(description));
        let name = &self.secret_name;
        let app = format!("application `{}`", self.client_id);
        let tenant = format!("tenant `{}`", self.tenant);
        let (message, hint) = match code {
            Some(7_000_215) => (
                format!("{app}: the client secret is wrong"),
                format!("copy the secret's value, not its id, and run `onesync secret set {name}`"),
            ),
            Some(7_000_222) => (
                format!("{app}: the client secret has expired"),
                format!("make a new one in the app registration and run `onesync secret set {name}`"),
            ),
            Some(700_016) => (
                format!("{app} is unknown in {tenant}"),
                "check `client_id` and `tenant`, and that an administrator has consented to the application"
                    .to_owned(),
            ),
            Some(7_000_112 | 500_011) => (
                format!("{app} is disabled in {tenant}"),
                "enable it under enterprise applications".to_owned(),
            ),
            Some(700_027 | 700_024 | 7_000_272) => (
                format!("{app}: the certificate is not accepted"),
                format!(
                    "upload the certificate of secret `{name}` to the app registration, check that the key \
                     belongs to it, and this machine's clock"
                ),
            ),
            Some(90_002 | 900_023) => (
                format!("{tenant} is unknown"),
                "check `tenant` (id or domain) and, in a national cloud, `login_url`".to_owned(),
            ),
            Some(70_011 | 1_002_012) => (
                format!("the scope `{}` is not accepted", self.scope),
                "check `graph_url`: it must be the root of Microsoft Graph in the tenant's cloud".to_owned(),
            ),
            _ if body.is_null() => {
                let error = super::error::ApiError::foreign(status, text, retry_after);
                return error.at(self.url.clone());
            }
            _ => {
                let first = description.lines().next().unwrap_or_default();
                (format!("{app}: sign-in failed: {first}"), "look the AADSTS number up".to_owned())
            }
        };
        let class = match status {
            429 => ErrorClass::Throttled(retry_after),
            500.. => ErrorClass::Transient,
            _ => ErrorClass::Configuration,
        };
        let code = code.map_or_else(|| format!("HTTP-{status}"), |n| format!("AADSTS{n}"));
        ConnectorError::new(class, code, self.url.clone(), message).hint(hint)
    }
}

/// The number after `AADSTS` at the start of a description.
fn aadsts(description: &str) -> Option<u64> {
    let digits = description.strip_prefix("AADSTS")?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The application permissions a token carries. Not verified: it only feeds what is shown to people.
fn roles(token: &str) -> Vec<String> {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Json = claims.and_then(|c| serde_json::from_slice(&c).ok()).unwrap_or(Json::Null);
    let roles = claims.get("roles").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut roles: Vec<String> = roles.iter().filter_map(Json::as_str).map(str::to_owned).collect();
    roles.sort();
    roles
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client() -> TokenClient {
        let id = "5b0f4c7e-2f3a-4c55-9a57-6d2d8f0e1a22";
        let settings = super::super::GraphSettings::new("contoso.com", id, "graph");
        TokenClient::new(&settings, Credential::Secret(SecretString::from("x")))
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (body, code, word) in [
            (json!({"error_codes": [7_000_215]}), "AADSTS7000215", "secret set graph"),
            (json!({"error_codes": [7_000_222]}), "AADSTS7000222", "make a new one"),
            (
                json!({"error_description": "AADSTS700016: Application with identifier"}),
                "AADSTS700016",
                "client_id",
            ),
            (json!({"error_codes": [90_002]}), "AADSTS90002", "tenant"),
            (json!({"error_codes": [70_011]}), "AADSTS70011", "graph_url"),
        ] {
            let error = client().refusal(401, None, &body, "");
            assert_eq!((error.class, error.code.as_str()), (ErrorClass::Configuration, code));
            assert!(error.hint.unwrap().contains(word));
        }
        assert_eq!(
            client().refusal(503, None, &Json::Null, "<html>busy</html>").class,
            ErrorClass::Transient
        );
    }

    #[test]
    fn permissions_are_read_from_the_token() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"roles":["User.ReadWrite.All","Group.ReadWrite.All"]}"#);
        assert_eq!(roles(&format!("h.{claims}.s")), ["Group.ReadWrite.All", "User.ReadWrite.All"]);
        assert!(roles("opaque").is_empty());
    }
}
