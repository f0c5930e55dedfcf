//! Sign-in: the token endpoint, the discovery document, access tokens and what they allow.
//!
//! Access tokens look like the real ones (three parts, claims `roles`, `appid`, `tid`) and are signed with the
//! simulator's own key. Deliberately absent: delegated flows, refresh tokens, managed identities.

use aws_lc_rs::{digest, hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::clock::{Rng, iso};
use crate::config::AppConfig;
use crate::error::GraphError;
use crate::message::{Caller, Resp};
use crate::odata::Query;
use crate::world::World;
use crate::x509;

/// Seconds an access token lives, as the service says.
const TOKEN_LIFE_S: i64 = 3599;
/// Seconds a client's clock may differ.
const SKEW_S: f64 = 300.0;
/// Stream of the generator the keys come from.
const STREAM_KEYS: u64 = 4;

/// Keys of one simulator, derived from its seed so that tokens outlive a restart.
pub(crate) struct Keys {
    access: hmac::Key,
    tokens: hmac::Key,
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Keys {
        let mut rng = Rng::new(seed, STREAM_KEYS);
        let mut key = || {
            let bytes: Vec<u8> = (0..4).flat_map(|_| rng.next().to_be_bytes()).collect();
            hmac::Key::new(hmac::HMAC_SHA256, &bytes)
        };
        Keys { access: key(), tokens: key() }
    }

    /// The key of delta tokens.
    pub(crate) fn tokens(&self) -> &hmac::Key {
        &self.tokens
    }
}

/// A refusal of the token endpoint.
struct Refusal {
    status: u16,
    error: &'static str,
    code: u32,
    text: String,
}

fn refuse(status: u16, error: &'static str, code: u32, text: impl Into<String>) -> Refusal {
    Refusal { status, error, code, text: text.into() }
}

/// The discovery document; none when the tenant is another.
pub(crate) fn discovery(world: &mut World, base: &str, tenant: &str) -> Resp {
    if !is_tenant(world, tenant) {
        let refusal = unknown_tenant(tenant);
        return answer(world, &refusal);
    }
    let id = &world.tenant.id;
    Resp::ok(json!({
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": format!("{base}/{id}/v2.0"),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "tenant_region_scope": "EU",
    }))
}

/// The token endpoint.
pub(crate) fn token(world: &mut World, base: &str, tenant: &str, form: &str) -> Resp {
    match issue(world, base, tenant, &Query::parse(form)) {
        Ok(value) => Resp::ok(value),
        Err(refusal) => answer(world, &refusal),
    }
}

fn answer(world: &mut World, refusal: &Refusal) -> Resp {
    let trace = world.request_ids.uuid();
    let correlation = world.request_ids.uuid();
    let now = iso(world.now_ms()).replace('T', " ");
    let text = &refusal.text;
    let code = refusal.code;
    let body = json!({
        "error": refusal.error,
        "error_description": format!(
            "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {now}"
        ),
        "error_codes": [code],
        "timestamp": now,
        "trace_id": trace.to_string(),
        "correlation_id": correlation.to_string(),
    });
    Resp { status: refusal.status, ..Resp::ok(body) }
}

fn unknown_tenant(tenant: &str) -> Refusal {
    refuse(
        400,
        "invalid_request",
        90002,
        format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        ),
    )
}

fn is_tenant(world: &World, tenant: &str) -> bool {
    let named = world.tenant.domains.iter().any(|d| d.verified && d.name.eq_ignore_ascii_case(tenant));
    named || world.tenant.id.eq_ignore_ascii_case(tenant)
}

fn issue(world: &mut World, base: &str, tenant: &str, form: &Query) -> Result<Value, Refusal> {
    if !is_tenant(world, tenant) {
        return Err(unknown_tenant(tenant));
    }
    let field = |name: &'static str| form.get(name).filter(|v| !v.is_empty());
    let missing = |name: &str| {
        refuse(
            400,
            "invalid_request",
            900_144,
            format!("The request body must contain the following parameter: '{name}'."),
        )
    };
    let grant = field("grant_type").ok_or_else(|| missing("grant_type"))?;
    if grant != "client_credentials" {
        return Err(refuse(
            400,
            "unsupported_grant_type",
            70003,
            format!("The app requested an unsupported grant type '{grant}'."),
        ));
    }
    let client_id = field("client_id").ok_or_else(|| missing("client_id"))?;
    let Some(app) = world.app(client_id).cloned() else {
        return Err(refuse(
            400,
            "unauthorized_client",
            700_016,
            format!(
                "Application with identifier '{client_id}' was not found in the directory '{}'.",
                world.tenant.display_name
            ),
        ));
    };
    let scope = field("scope").ok_or_else(|| missing("scope"))?;
    if !scope.ends_with("/.default") {
        return Err(refuse(
            400,
            "invalid_scope",
            70011,
            format!(
                "The provided value for the input parameter 'scope' isn't valid. The scope {scope} isn't valid."
            ),
        ));
    }
    let now_ms = world.now_ms();
    if let Some(assertion) = field("client_assertion") {
        let audience = [format!("{base}/{tenant}/oauth2/v2.0/token"), format!("/{tenant}/oauth2/v2.0/token")];
        check_assertion(&app, assertion, &audience, now_ms)?;
    } else if let Some(secret) = field("client_secret") {
        let Some(known) = app.secrets.iter().find(|s| s.value == secret) else {
            return Err(refuse(
                401,
                "invalid_client",
                7_000_215,
                format!(
                    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client_id}'."
                ),
            ));
        };
        if known.expires_ms.is_some_and(|at| at <= now_ms) {
            return Err(refuse(
                401,
                "invalid_client",
                7_000_222,
                format!("The provided client secret keys for app '{client_id}' are expired."),
            ));
        }
    } else {
        return Err(refuse(
            401,
            "invalid_client",
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        ));
    }
    let access_token = mint(world, base, &app, scope.trim_end_matches("/.default"));
    Ok(json!({
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFE_S,
        "ext_expires_in": TOKEN_LIFE_S,
        "access_token": access_token,
    }))
}

fn mint(world: &mut World, base: &str, app: &AppConfig, audience: &str) -> String {
    let now = world.now_ms().div_euclid(1000);
    let unique = world.request_ids.uuid();
    let header = json!({"typ": "JWT", "alg": "HS256", "kid": "graphsim"});
    let claims = json!({
        "aud": audience,
        "iss": format!("{base}/{}/", world.tenant.id),
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_LIFE_S,
        "appid": app.client_id,
        "app_displayname": app.display_name,
        "idtyp": "app",
        "roles": app.roles,
        "tid": world.tenant.id,
        "uti": unique.simple().to_string(),
        "ver": "1.0",
    });
    let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let tag = hmac::sign(&world.keys.access, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// Reads the bearer token of a request.
pub(crate) fn caller(world: &World, authorization: Option<&str>) -> Result<Caller, GraphError> {
    let malformed = || GraphError::unauthorized("CompactToken parsing failed with error code: 80049217");
    let Some(token) =
        authorization.and_then(|v| v.strip_prefix("Bearer ")).map(str::trim).filter(|t| !t.is_empty())
    else {
        return Err(GraphError::unauthorized("Access token is empty."));
    };
    let (signed, tag) = token.rsplit_once('.').ok_or_else(malformed)?;
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| malformed())?;
    hmac::verify(&world.keys.access, signed.as_bytes(), &tag)
        .map_err(|_| GraphError::unauthorized("Access token validation failure. Invalid signature."))?;
    let claims = signed.split('.').nth(1).and_then(json_part).ok_or_else(malformed)?;
    let number = |name: &str| claims.get(name).and_then(Value::as_i64).unwrap_or(0);
    if number("exp").saturating_mul(1000) <= world.now_ms() {
        return Err(GraphError::unauthorized("Lifetime validation failed, the token is expired."));
    }
    let client_id = claims.get("appid").and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |v: Option<&Value>| -> Vec<String> {
        v.and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    // Directory roles are looked up per call; permissions are frozen into the token.
    let directory_roles = world.app(&client_id).map(|a| a.directory_roles.clone()).unwrap_or_default();
    Ok(Caller { roles: list(claims.get("roles")), directory_roles })
}

fn json_part(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?).ok()
}

/// Verifies a client assertion (RFC 7523) against the application's certificates.
fn check_assertion(
    app: &AppConfig,
    assertion: &str,
    audiences: &[String; 2],
    now_ms: i64,
) -> Result<(), Refusal> {
    let bad = |text: &str| refuse(401, "invalid_client", 700_027, text);
    let mut parts = assertion.split('.');
    let (Some(header_part), Some(claims_part), Some(tag), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(refuse(400, "invalid_request", 50027, "JWT token is invalid or malformed."));
    };
    let malformed = || refuse(400, "invalid_request", 50027, "JWT token is invalid or malformed.");
    let header = json_part(header_part).ok_or_else(malformed)?;
    let claims = json_part(claims_part).ok_or_else(malformed)?;
    let tag = URL_SAFE_NO_PAD.decode(tag.trim_end_matches('=')).map_err(|_| malformed())?;
    let der = certificate(app, &header)
        .ok_or_else(|| bad("The certificate with identifier used to sign the client assertion is not registered on application."))?;
    let key = x509::public_key(&der).ok_or_else(|| bad("The registered certificate cannot be read."))?;
    let algorithm: &signature::RsaParameters = match header.get("alg").and_then(Value::as_str) {
        Some("RS256") => &signature::RSA_PKCS1_2048_8192_SHA256,
        Some("PS256") => &signature::RSA_PSS_2048_8192_SHA256,
        _ => return Err(bad("The algorithm of the client assertion is not supported. Use PS256 or RS256.")),
    };
    let message = format!("{header_part}.{claims_part}");
    signature::UnparsedPublicKey::new(algorithm, &key)
        .verify(message.as_bytes(), &tag)
        .map_err(|_| bad("Client assertion failed signature validation."))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    for name in ["iss", "sub"] {
        if !text(name).eq_ignore_ascii_case(&app.client_id) {
            return Err(bad("The client assertion's 'iss' and 'sub' must be the client id."));
        }
    }
    let [own, suffix] = audiences;
    // Through a proxy or another host name the path still has to be this tenant's.
    if text("aud") != own && !text("aud").ends_with(suffix.as_str()) {
        return Err(refuse(
            401,
            "invalid_client",
            700_023,
            format!("Client assertion audience claim does not match Realm issuer. Expected {own}."),
        ));
    }
    let now_s = now_ms as f64 / 1000.0;
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    match time("exp") {
        Some(exp) if exp + SKEW_S > now_s => {}
        _ => {
            return Err(refuse(
                401,
                "invalid_client",
                700_024,
                "Client assertion is not within its valid time range.",
            ));
        }
    }
    for name in ["nbf", "iat"] {
        if time(name).is_some_and(|t| t - SKEW_S > now_s) {
            return Err(refuse(
                401,
                "invalid_client",
                700_024,
                "Client assertion is not within its valid time range.",
            ));
        }
    }
    Ok(())
}

/// The registered certificate a JWT header names, by SHA-256 or SHA-1 thumbprint, padded or not, in either alphabet.
fn certificate(app: &AppConfig, header: &Value) -> Option<Vec<u8>> {
    let named = |name: &str, algorithm: &'static digest::Algorithm| {
        let text = header.get(name)?.as_str()?.trim_end_matches('=').replace('+', "-").replace('/', "_");
        Some((text, algorithm))
    };
    let (wanted, algorithm) =
        named("x5t#S256", &digest::SHA256).or_else(|| named("x5t", &digest::SHA1_FOR_LEGACY_USE_ONLY))?;
    app.certificates
        .iter()
        .filter_map(|pem| x509::der_of_pem(pem))
        .find(|der| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, der).as_ref()) == wanted)
}

/// Decodes the Base64 of a PEM body.
pub(crate) fn base64_lines(text: &str) -> Option<Vec<u8>> {
    let joined: String = text.split_whitespace().collect();
    STANDARD.decode(joined).ok()
}
