//! Encryption: what works, and what each mistake is called.

use std::sync::Arc;
use std::time::Duration;

use onesync_ldap::message::{BindRequest, ExtendedResponse, START_TLS};
use onesync_ldap::{
    Client, ClientIdentity, ConnectOptions, ErrorClass, LdapError, LdapResult, Message, Op, ResultCode,
    SearchRequest, TlsMode, TlsProblem,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::fake::Peer;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        Self::named("OneSync test authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    fn pem(&self) -> Vec<u8> {
        self.issuer.pem().into_bytes()
    }

    fn issue(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    Ldaps,
    StartTls,
    /// Refuses StartTLS.
    Refuses,
    /// Sends an unencrypted answer right behind the one to StartTLS.
    Injects,
    /// Speaks no TLS at all.
    Plain,
}

/// Runs a server that answers binds and searches over TLS; gives options that reach it.
async fn server(
    authority: &Authority,
    behaviour: Behaviour,
    clients: Option<&Authority>,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> ConnectOptions {
    let (certificate, key) = authority.issue(name, change);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(clients.issuer.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = builder.with_single_cert(chain, key).expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut peer = Peer::new(stream);
            if behaviour == Behaviour::Plain {
                peer.raw(b"220 mail.example.test ready\r\n").await;
                peer.until_closed().await;
                continue;
            }
            if behaviour != Behaviour::Ldaps && !answer_start_tls(&mut peer, behaviour).await {
                continue;
            }
            let Ok(stream) = acceptor.accept(peer.stream).await else { continue };
            let mut peer = Peer::new(stream);
            while let Some(request) = peer.request().await {
                let answer = match request.op {
                    Op::BindRequest(BindRequest { .. }) => {
                        Op::BindResponse(LdapResult::new(ResultCode::Success), None)
                    }
                    Op::SearchRequest(_) => Op::SearchDone(LdapResult::new(ResultCode::Success)),
                    _ => break,
                };
                peer.send(request.id, answer).await;
            }
        }
    });
    let mut options = ConnectOptions::new(&format!("ldap://localhost:{port}")).expect("an address");
    options.tls = if matches!(behaviour, Behaviour::Ldaps | Behaviour::Plain) {
        TlsMode::Ldaps
    } else {
        TlsMode::StartTls
    };
    options.ca_pem = Some(authority.pem());
    options.connect_timeout = Duration::from_secs(60);
    options
}

async fn answer_start_tls(peer: &mut Peer, behaviour: Behaviour) -> bool {
    let request = peer.expect().await;
    let Op::ExtendedRequest(extended) = request.op else { panic!("StartTLS was due") };
    assert_eq!(extended.name, START_TLS);
    let code = if behaviour == Behaviour::Refuses { ResultCode::Unavailable } else { ResultCode::Success };
    let response = |result| ExtendedResponse { result, name: None, value: None };
    let answer = Message::new(request.id, Op::ExtendedResponse(response(LdapResult::new(code))));
    let mut bytes = answer.encode().expect("encodable").to_vec();
    if behaviour == Behaviour::Injects {
        let bind = Op::BindResponse(LdapResult::new(ResultCode::Success), None);
        bytes.extend(Message::new(1, bind).encode().expect("encodable"));
    }
    peer.stream.write_all(&bytes).await.expect("sent");
    matches!(behaviour, Behaviour::StartTls | Behaviour::Injects)
}

fn problem(error: LdapError) -> TlsProblem {
    assert_eq!(error.class(), ErrorClass::Tls, "{error}");
    match error {
        LdapError::Tls { problem, server } => {
            assert!(server.starts_with("localhost:"), "{server}");
            problem
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn ldaps_and_start_tls_carry_a_password() {
    let authority = Authority::new();
    for behaviour in [Behaviour::Ldaps, Behaviour::StartTls] {
        let options = server(&authority, behaviour, None, "localhost", |_| {}).await;
        let mut client = Client::connect(&options).await.expect("encrypted");
        client.simple_bind("cn=a", b"secret").await.expect("bound");
        assert_eq!(client.search_one(SearchRequest::entry("")).await.expect("answered"), None);
        client.unbind().await.expect("a good end");
    }
}

#[tokio::test]
async fn the_authority_comes_from_a_file_too() {
    let authority = Authority::new();
    let mut options = server(&authority, Behaviour::Ldaps, None, "localhost", |_| {}).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, options.ca_pem.take().expect("set")).expect("written");
    options.ca_file = Some(file.clone());
    Client::connect(&options).await.expect("trusted");

    std::fs::write(&file, "no certificate here").expect("written");
    let error = Client::connect(&options).await.expect_err("an empty file");
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(error.to_string().contains("ca.pem"), "{error}");
    options.ca_file = Some(folder.path().join("absent.pem"));
    let error = Client::connect(&options).await.expect_err("no file");
    assert!(error.to_string().contains("absent.pem"), "{error}");
}

#[tokio::test]
async fn an_unknown_authority_is_named_with_its_remedy() {
    let authority = Authority::new();
    let mut options = server(&authority, Behaviour::Ldaps, None, "localhost", |_| {}).await;
    // another one, and one that was made anew under the same name
    for other in [Authority::named("another"), Authority::new()] {
        options.ca_pem = Some(other.pem());
        let error = Client::connect(&options).await.expect_err("another authority");
        assert!(error.to_string().contains("ca_file"), "{error}");
        assert_eq!(problem(error), TlsProblem::UntrustedIssuer);
    }
    // the system's authorities do not know it either
    options.ca_pem = None;
    let error = Client::connect(&options).await.expect_err("not of the system");
    assert_eq!(error.class(), ErrorClass::Tls, "{error}");
}

#[tokio::test]
async fn dates_and_names_are_checked() {
    let authority = Authority::new();
    let past = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let options = server(&authority, Behaviour::Ldaps, None, "localhost", past).await;
    assert_eq!(problem(Client::connect(&options).await.expect_err("expired")), TlsProblem::Expired);

    let future = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2999, 1, 1);
    let options = server(&authority, Behaviour::StartTls, None, "localhost", future).await;
    assert_eq!(problem(Client::connect(&options).await.expect_err("too early")), TlsProblem::NotYetValid);

    let mut options = server(&authority, Behaviour::Ldaps, None, "dc1.example.test", |_| {}).await;
    let error = Client::connect(&options).await.expect_err("another name");
    let TlsProblem::WrongName { presented } = problem(error) else { panic!("the name is wrong") };
    assert!(presented.contains("dc1.example.test"), "{presented}");
    options.tls_server_name = Some("dc1.example.test".into());
    Client::connect(&options).await.expect("the name is set");
}

#[tokio::test]
async fn start_tls_that_is_refused_or_abused() {
    let authority = Authority::new();
    let options = server(&authority, Behaviour::Refuses, None, "localhost", |_| {}).await;
    let error = Client::connect(&options).await.expect_err("refused");
    assert!(error.to_string().contains("unavailable (52)"), "{error}");
    assert_eq!(error.class(), ErrorClass::Tls);
    let options = server(&authority, Behaviour::Injects, None, "localhost", |_| {}).await;
    let error = Client::connect(&options).await.expect_err("bytes from a third party");
    assert!(matches!(error, LdapError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_server_without_tls() {
    let authority = Authority::new();
    let options = server(&authority, Behaviour::Plain, None, "localhost", |_| {}).await;
    assert_eq!(problem(Client::connect(&options).await.expect_err("no TLS")), TlsProblem::NotTls);
}

#[tokio::test]
async fn a_silent_server_ends_in_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let mut options = ConnectOptions::new(&format!("ldaps://127.0.0.1:{port}")).expect("an address");
    options.ca_pem = Some(Authority::new().pem());
    options.connect_timeout = Duration::from_millis(80);
    let error = Client::connect(&options).await.expect_err("nobody accepts");
    assert!(matches!(error, LdapError::ConnectTimeout { .. }), "{error}");
}

#[tokio::test]
async fn a_client_certificate_binds_externally() {
    let (authority, people) = (Authority::new(), Authority::new());
    let mut options = server(&authority, Behaviour::Ldaps, Some(&people), "localhost", |_| {}).await;
    // with TLS 1.3 the refusal comes after the handshake
    let refused = async {
        let mut client = Client::connect(&options).await?;
        client.external_bind(None).await
    };
    let error = refused.await.expect_err("a certificate is wanted");
    assert!(matches!(error, LdapError::Lost { .. } | LdapError::Tls { .. }), "{error}");

    let (certificate, key) = people.issue("onesync", |_| {});
    let folder = tempfile::tempdir().expect("a folder");
    let identity = ClientIdentity {
        certificate_file: folder.path().join("client.pem"),
        key_file: folder.path().join("client.key"),
    };
    std::fs::write(&identity.certificate_file, certificate.pem()).expect("written");
    std::fs::write(&identity.key_file, key.serialize_pem()).expect("written");
    options.client_identity = Some(identity);
    let mut client = Client::connect(&options).await.expect("known");
    client.external_bind(None).await.expect("bound");
}
