//! Credentials, TLS, proxy, and what a typo in any of them leads to.

use std::collections::BTreeMap;

use onesync_connectors::graph::{GraphConnector, GraphSettings, ProxySettings};
use onesync_connectors::{Connector, ConnectorError, ErrorClass, Severity};
use onesync_graphsim::{GraphSim, SecretConfig, TenantConfig, TlsConfig};
use onesync_model::Names;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::lab::{Lab, quick, secrets, settings};

async fn obstacle(
    settings: GraphSettings,
    secrets: &BTreeMap<String, SecretString>,
) -> Result<Option<String>, ConnectorError> {
    let graph = GraphConnector::new(settings, secrets, &mut Names::new())?.with_retry(quick());
    graph.export_obstacle().await
}

fn stored(name: &str, value: &str) -> BTreeMap<String, SecretString> {
    BTreeMap::from([(name.to_owned(), SecretString::from(value.to_owned()))])
}

#[tokio::test]
async fn one_token_serves_many_requests_at_once() {
    let lab = Lab::new().await;
    let reads = (0..10).map(|_| lab.graph.export_obstacle());
    for result in futures::future::join_all(reads).await {
        assert_eq!(result.unwrap(), None);
    }
    assert_eq!(lab.sim.log(0).iter().filter(|e| e.path.ends_with("/token")).count(), 1);
    lab.finish().await;
}

#[tokio::test]
async fn every_wrong_credential_has_its_message_and_remedy() {
    let mut tenant = TenantConfig::default();
    tenant.applications[0].secrets.push(SecretConfig { value: "old".into(), expires_ms: Some(1) });
    let sim = GraphSim::builder().tenant(tenant).judged().await.unwrap();
    let good = settings(&sim);
    let unknown_app = "99999999-2222-4333-8444-555555555555";
    for (settings, value, code, words) in [
        (good.clone(), "wrong", "AADSTS7000215", "secret set graph"),
        (good.clone(), "old", "AADSTS7000222", "make a new one"),
        (GraphSettings { client_id: unknown_app.into(), ..good.clone() }, "x", "AADSTS700016", "client_id"),
        (GraphSettings { tenant: "unknown.example".into(), ..good.clone() }, "x", "AADSTS90002", "tenant"),
    ] {
        let error = obstacle(settings, &stored("graph", value)).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Configuration, code), "{error}");
        assert!(error.hint.as_deref().is_some_and(|h| h.contains(words)), "{error:?}");
    }
    let error = obstacle(good, &BTreeMap::new()).await.unwrap_err();
    assert!(error.message.contains("`graph` is not stored"), "{error}");
}

#[tokio::test]
async fn a_certificate_signs_in() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["app".into()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2049, 3, 1);
    let certificate = params.self_signed(&pair).unwrap();
    let mut tenant = TenantConfig::default();
    tenant.applications[0].certificates.push(certificate.pem());
    let sim = GraphSim::builder().tenant(tenant).judged().await.unwrap();
    let mut good = settings(&sim);
    good.secret = None;
    good.certificate = Some("cert".into());
    good.key = Some("key".into());
    let mut secrets = stored("cert", &certificate.pem());
    secrets.extend(stored("key", &pair.serialize_pem()));
    assert_eq!(obstacle(good.clone(), &secrets).await.unwrap(), None);
    // Both in one secret.
    let one = GraphSettings { key: None, ..good.clone() };
    let both = format!("{}\n{}", certificate.pem(), pair.serialize_pem());
    let graph = GraphConnector::new(one, &stored("cert", &both), &mut Names::new()).unwrap();
    let report = graph.test().await.unwrap();
    let finding = report.findings.iter().find(|f| f.subject == "credential").unwrap();
    assert!(finding.message.contains("2049-03-01") && finding.severity == Severity::Ok, "{finding:?}");

    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    secrets.extend(stored("key", &other.serialize_pem()));
    let error = obstacle(good.clone(), &secrets).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Configuration, "AADSTS700027"), "{error}");
    secrets.extend(stored("key", "no key"));
    let error = obstacle(good, &secrets).await.unwrap_err();
    assert_eq!(error.code, "GRAPH-CERTIFICATE");
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_by_file_only() {
    let sim = GraphSim::builder().tls(TlsConfig::Generate).judged().await.unwrap();
    let mut settings = settings(&sim);
    assert!(settings.graph_url.starts_with("https://"));
    let error = obstacle(settings.clone(), &secrets()).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Configuration, "GRAPH-TLS"), "{error}");
    assert!(error.hint.unwrap().contains("ca_file"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, sim.ca_pem().unwrap()).unwrap();
    settings.ca_file = Some(file.clone());
    assert_eq!(obstacle(settings.clone(), &secrets()).await.unwrap(), None);
    std::fs::write(&file, "nothing").unwrap();
    let error = obstacle(settings.clone(), &secrets()).await.unwrap_err();
    assert!(error.to_string().contains("ca.pem"), "{error}");
    settings.ca_file = Some(folder.path().join("missing.pem"));
    assert!(obstacle(settings, &secrets()).await.unwrap_err().to_string().contains("missing.pem"));
}

#[tokio::test]
async fn hosts_that_are_not_there_are_named_with_the_remedy() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let good = settings(&sim);
    let refused = GraphSettings { login_url: format!("http://{free}"), ..good.clone() };
    let error = obstacle(refused, &secrets()).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Transient, "GRAPH-REFUSED"), "{error}");
    assert!(error.place.contains(&free.to_string()));
    let nowhere = GraphSettings { login_url: "https://login.invalid".into(), ..good };
    let error = obstacle(nowhere, &secrets()).await.unwrap_err();
    assert_eq!(error.code, "GRAPH-DNS", "{error}");
}

/// A forward proxy that asks for a login and notes what it passed on.
async fn proxy(listener: TcpListener, login: &'static str) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { return };
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match client.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            if !text
                .to_ascii_lowercase()
                .contains(&format!("proxy-authorization: basic {login}").to_ascii_lowercase())
            {
                let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                let _ = client.write_all(answer.as_bytes()).await;
                return;
            }
            let target = text.split_whitespace().nth(1).unwrap_or_default().to_owned();
            let Ok(mut server) = TcpStream::connect(target).await else { return };
            let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

#[tokio::test]
async fn a_proxy_with_login_is_gone_through() {
    let sim = GraphSim::builder().tls(TlsConfig::Generate).judged().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(proxy(listener, "dXNlcjpwYXNz")); // user:pass
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, sim.ca_pem().unwrap()).unwrap();
    let mut settings = settings(&sim);
    settings.ca_file = Some(file);
    settings.proxy = Some(ProxySettings {
        url: format!("http://{address}"),
        username: Some("user".into()),
        password: Some("proxy".into()),
    });
    let mut secrets = secrets();
    secrets.extend(stored("proxy", "pass"));
    assert_eq!(obstacle(settings.clone(), &secrets).await.unwrap(), None);
    secrets.extend(stored("proxy", "wrong"));
    let error = obstacle(settings.clone(), &secrets).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Configuration, "GRAPH-PROXY"), "{error}");
    let graph = GraphConnector::new(settings, &secrets, &mut Names::new()).unwrap();
    let report = graph.test().await.unwrap();
    assert!(report.findings.iter().any(|f| f.subject == "proxy" && f.message.contains("as user")));
    assert!(report.findings.iter().any(|f| f.subject == "sign-in" && f.severity == Severity::Failed));
}
