//! Certificates: kinds of names, forms of input, and bytes that are no certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use onesync_expr::functions;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use crate::support::eval_given;

/// The certificate of the examples.
fn anna() -> Json {
    let examples = functions().iter().find(|f| f.name == "IsCert").unwrap().examples;
    serde_json::from_str(examples[0].attributes).unwrap()
}

fn value(text: &str, attributes: &Json) -> Json {
    eval_given(text, attributes, &Map::new())
}

fn bytes() -> Vec<u8> {
    BASE64.decode(anna()["cert"]["$bin"].as_str().unwrap()).unwrap()
}

#[test]
fn der_base64_and_pem_are_read_from_binary_and_from_text() {
    let base64 = BASE64.encode(bytes());
    let lines = base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap());
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\r\n{}\r\n-----END CERTIFICATE-----\r\n",
        lines.collect::<Vec<_>>().join("\r\n")
    );
    for form in [
        json!({"$bin": base64}),
        json!({"$bin": BASE64.encode(base64.as_bytes())}),
        json!(base64),
        json!(pem),
        json!({"$bin": BASE64.encode(pem.as_bytes())}),
    ] {
        let attributes = json!({"cert": form});
        assert_eq!(value("CertSerialNumber([cert])", &attributes), json!("00A1B2C3D4"), "{attributes}");
        assert_eq!(value("IsCert([cert])", &attributes), json!(true));
    }
    for none in
        [json!("x"), json!({"$bin": "MAA="}), json!(5), json!({"$dt": "2026-01-01T00:00:00Z"}), json!("")]
    {
        let attributes = json!({"cert": none});
        assert_eq!(value("IsCert([cert])", &attributes), json!(false), "{none}");
        assert!(value("CertSubject([cert])", &attributes).get("$error").is_some(), "{none}");
    }
    assert_eq!(value("CertSubject([absent])", &json!({})), Json::Null);
    assert_eq!(value("IsCert([absent])", &json!({})), json!(false));
}

#[test]
fn names_of_all_types_are_found() {
    let attributes = anna();
    for (name, expected) in [
        ("SimpleName", "Anna Meier"),
        ("EmailName", "anna.meier@contoso.com"),
        ("UpnName", "anna@contoso.com"),
        ("DnsName", "pc7.contoso.com"),
        ("DnsFromAlternativeName", "pc7.contoso.com"),
        ("UrlName", ""),
    ] {
        let text = format!("CertNameInfo([cert],\"{name}\",False)");
        assert_eq!(value(&text, &attributes), json!(expected), "{name}");
    }
    // The issuer has no alternative names: its common name stands for a host.
    assert_eq!(value("CertNameInfo([cert],DnsName,True)", &attributes), json!("Contoso CA"));
    assert_eq!(value("CertNameInfo([cert],UpnName,True)", &attributes), json!(""));
    assert!(value("CertNameInfo([cert],\"Simple\",True)", &attributes)["$error"].is_string());
}

#[test]
fn several_certificates_are_read_one_by_one() {
    let two = json!({"certs": [anna()["cert"], "no certificate"]});
    assert_eq!(value("IsCert([certs])", &two), json!([true, false]));
    assert_eq!(value("IIF(IsCert([certs]),CertVersion([certs]),NULL)", &two), json!([3]));
    let live = "Where($item,[certs],IsCert($item) && CertNotAfter($item)>Now())";
    assert_eq!(value(&format!("Count({live})"), &two), json!(1));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn damaged_certificates_are_an_error_or_read_and_never_a_panic(
        changes in prop::collection::vec((0usize..628, any::<u8>()), 1..4),
        length in 0usize..700,
    ) {
        let mut bytes = bytes();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(length);
        let attributes = json!({"cert": {"$bin": BASE64.encode(bytes)}});
        for function in functions().iter().filter(|f| f.theme == "Certificates" && f.params.len() == 1) {
            let all = value(&format!("IIF(IsCert([cert]),{}([cert]),NULL)", function.name), &attributes);
            prop_assert!(all.get("$error").is_none(), "{}: {all}", function.name);
        }
    }
}
