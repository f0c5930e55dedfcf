//! Sign-in and permissions.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{digest, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use onesync_graphsim::{AppConfig, DEFAULT_CLIENT_ID, GraphSim, SecretConfig, TenantConfig, TlsConfig};
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::lab::{Lab, exchange, user};

const SCOPE: &str = "scope=https%3A%2F%2Fgraph.microsoft.com%2F.default";

#[tokio::test]
async fn secrets_open_and_wrong_ones_are_named() {
    let lab = Lab::tenant(|t| {
        t.applications[0].secrets.push(SecretConfig { value: "old".into(), expires_ms: Some(1) });
    })
    .await;
    let form = |client: &str, secret: &str, scope: &str| {
        format!("grant_type=client_credentials&client_id={client}&client_secret={secret}&{scope}")
    };
    for (form, status, code) in [
        (form(DEFAULT_CLIENT_ID, "wrong", SCOPE), 401, 7_000_215),
        (form(DEFAULT_CLIENT_ID, "old", SCOPE), 401, 7_000_222),
        (form("87d349ed-44d7-43e1-9a83-5f2406dee5bd", "x", SCOPE), 400, 700_016),
        (form(DEFAULT_CLIENT_ID, "graphsim-secret", "scope=User.Read"), 400, 70011),
    ] {
        let refused = lab.token(&form).await.expect(status);
        assert_eq!(refused.body["error_codes"], json!([code]));
        let text = refused.body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
    }
    let discovery = lab
        .send("GET", "/contoso.com/v2.0/.well-known/openid-configuration", &[], String::new())
        .await
        .unwrap();
    assert!(discovery.body["token_endpoint"].as_str().unwrap().ends_with("/contoso.com/oauth2/v2.0/token"));
    let foreign = lab
        .send("GET", "/nobody.com/v2.0/.well-known/openid-configuration", &[], String::new())
        .await
        .unwrap();
    assert_eq!(foreign.body["error_codes"], json!([90002]));
    lab.finish().await;
}

#[tokio::test]
async fn without_a_good_token_nothing_opens() {
    let mut lab = Lab::new().await;
    let bare = lab.send("GET", "/v1.0/users", &[], String::new()).await.unwrap().expect(401);
    assert_eq!(bare.code(), "InvalidAuthenticationToken");
    assert!(bare.header("www-authenticate").is_some());
    let good = lab.token.clone();
    lab.token = format!("{good}x");
    lab.get("/users").await.expect(401);
    lab.token = good;
    lab.get("/users").await.expect(200);
    lab.get("/nothing").await.expect(400);
    lab.sim.advance(std::time::Duration::from_secs(3600));
    let expired = lab.get("/users").await.expect(401);
    assert!(expired.message().contains("expired"));
    lab.send("GET", "/beta/users", &[], String::new()).await.unwrap().expect(404);
    lab.finish().await;
}

#[tokio::test]
async fn permissions_are_checked_and_can_be_listed() {
    let lab = Lab::tenant(|t| {
        t.applications[0].roles = vec!["User.Read.All".into(), "Application.Read.All".into()]
    })
    .await;
    lab.get("/users").await.expect(200);
    for answer in
        [lab.post("/users", user("ann")).await, lab.get("/groups").await, lab.get("/organization").await]
    {
        assert_eq!((answer.status, answer.code()), (403, "Authorization_RequestDenied"));
    }
    let claims = lab.token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["roles"], json!(["User.Read.All", "Application.Read.All"]));
    // The way an administrator lists what is granted: assignments, and the names of the resource's roles.
    let principal =
        lab.get(&format!("/servicePrincipals(appId='{DEFAULT_CLIENT_ID}')")).await.expect(200).id();
    let granted = lab.get(&format!("/servicePrincipals/{principal}/appRoleAssignments")).await.expect(200);
    let resource = granted.body["value"][0]["resourceId"].as_str().unwrap().to_owned();
    let graph = lab.get(&format!("/servicePrincipals/{resource}")).await.expect(200);
    let role = graph.body["appRoles"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["id"] == granted.body["value"][0]["appRoleId"]);
    assert_eq!(role.unwrap()["value"], "User.Read.All");
    lab.finish().await;
}

struct Signer {
    key: signature::RsaKeyPair,
    der: Vec<u8>,
}

impl Signer {
    fn new() -> (Signer, String) {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["app".into()]).unwrap().self_signed(&pair).unwrap();
        let key = signature::RsaKeyPair::from_pkcs8(pair.serialized_der()).unwrap();
        (Signer { key, der: certificate.der().to_vec() }, certificate.pem())
    }

    fn assertion(&self, header: &Value, claims: &Value) -> String {
        let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut tag = vec![0; self.key.public_modulus_len()];
        let encoding: &dyn signature::RsaEncoding =
            if header["alg"] == "PS256" { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
        self.key.sign(encoding, &SystemRandom::new(), signed.as_bytes(), &mut tag).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

#[tokio::test]
async fn certificates_open_in_both_algorithms_and_thumbprints() {
    let (signer, pem) = Signer::new();
    let (stranger, _) = Signer::new();
    let lab = Lab::tenant(|t| t.applications[0].certificates.push(pem)).await;
    let now = lab.sim.now_ms() as f64 / 1000.0;
    let audience = lab.sim.token_url();
    let sha1 = STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &signer.der));
    let sha256 = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &signer.der));
    let claims = json!({"aud": audience, "iss": DEFAULT_CLIENT_ID, "sub": DEFAULT_CLIENT_ID, "jti": "1",
        "nbf": now, "iat": now + 0.25, "exp": now + 300.75});
    let modern = json!({"typ": "JWT", "alg": "PS256", "x5t#S256": sha256});
    let old = json!({"typ": "JWT", "alg": "RS256", "x5t": sha1});
    let form = |assertion: &str| {
        format!(
            "grant_type=client_credentials&client_id={DEFAULT_CLIENT_ID}&{SCOPE}&client_info=1&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={assertion}"
        )
    };
    for header in [&modern, &old] {
        lab.token(&form(&signer.assertion(header, &claims))).await.expect(200);
    }
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    for (assertion, code) in [
        (stranger.assertion(&modern, &claims), 700_027),
        (signer.assertion(&json!({"alg": "PS256", "x5t#S256": "x"}), &claims), 700_027),
        (signer.assertion(&modern, &with("exp", json!(now - 1000.0))), 700_024),
        (signer.assertion(&modern, &with("aud", json!("https://elsewhere/token"))), 700_023),
        (signer.assertion(&modern, &with("iss", json!("somebody"))), 700_027),
        ("rubbish".to_owned(), 50027),
    ] {
        let refused = lab.token(&form(&assertion)).await;
        assert_eq!(refused.body["error_codes"], json!([code]), "{}", refused.text);
    }
    lab.finish().await;
}

#[tokio::test]
async fn https_serves_with_its_own_authority() {
    let sim =
        GraphSim::builder().tls(TlsConfig::Generate).judged_beside(&["/openid-configuration"]).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(sim.ca_pem().unwrap().as_bytes()).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = tokio::net::TcpStream::connect(sim.address()).await.unwrap();
    let stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    let target = "/contoso.com/v2.0/.well-known/openid-configuration";
    let answer = exchange(stream, "127.0.0.1", "GET", target, &[], String::new()).await.unwrap();
    assert!(answer.body["token_endpoint"].as_str().unwrap().starts_with("https://"));
    sim.shutdown().await.unwrap();
}

#[tokio::test]
async fn state_survives_a_restart_with_its_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let app = AppConfig { display_name: "Other".into(), ..AppConfig::default() };
    let tenant = TenantConfig { applications: vec![app], ..TenantConfig::default() };
    let lab = Lab::with(GraphSim::builder().state_file(&file).tenant(tenant)).await;
    let ann = lab.user("ann").await;
    let (_, link) = lab.round("/users/delta").await;
    let token = lab.token.clone();
    lab.patch(&format!("/users/{ann}"), json!({"jobTitle": "x"})).await.expect(204);
    let before = lab.sim.dump();
    lab.finish().await;
    let mut lab = Lab::with(GraphSim::builder().state_file(&file)).await;
    assert_eq!(lab.sim.dump(), before);
    lab.token = token;
    let (items, _) = lab.round(&link).await;
    assert_eq!(items[0]["jobTitle"], "x", "the old link still works");
    lab.post("/users", user("ann")).await.expect(400);
    lab.finish().await;
}
