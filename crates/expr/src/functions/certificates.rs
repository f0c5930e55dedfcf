//! Certificates: what .NET's X509Certificate2 says of one.

use sha1::{Digest as _, Sha1};

use super::args::{at, take, text_of};
use super::{Body, Call, EachFn, FunctionDef, Param, example, example_with, param, upper_hex, word};
use crate::certificate::{Certificate, NameType};
use crate::diagnostic::Fault;
use crate::scalar::{Scalar, Val};
use crate::types::Types;

const THEME: &str = "Certificates";
const CERTIFICATE: Param = param("certificate", Types::BINARY.or(Types::STRING));
const NAME_TYPES: &[&str] =
    &["SimpleName", "EmailName", "UpnName", "DnsName", "DnsFromAlternativeName", "UrlName"];
/// A certificate of Anna Meier for the examples.
const ANNA: &str = concat!(r#"{"cert": {"$bin": ""#, include_str!("anna.b64"), r#""}}"#);

macro_rules! of_certificate {
    ($name:literal, $result:expr, $doc:literal, $decision:literal, $expected:literal, $body:expr) => {
        FunctionDef {
            name: $name,
            theme: THEME,
            params: &[CERTIFICATE],
            result: $result,
            doc: concat!($doc, " NULL stays NULL; what is no certificate is an error."),
            decision: $decision,
            examples: &[example_with(ANNA, concat!($name, "([cert])"), $expected)],
            body: Body::Each({
                const READ: fn(&Certificate) -> Scalar<'static> = $body;
                let each: EachFn = |_, args| of(args, READ);
                each
            }),
        }
    };
}

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "IsCert",
        theme: THEME,
        params: &[param("value", Types::ANY)],
        result: Types::BOOLEAN,
        doc: "True when the value is an X.509 certificate: its bytes (DER), or their base64 text.",
        decision: "False for NULL and for values of any other type. Trust is not looked at.",
        examples: &[
            example_with(ANNA, "IsCert([cert])", "true"),
            example_with(ANNA, "IsCert(ConvertToBase64([cert]))", "true"),
            example(r#"IsCert("no certificate")"#, "false"),
        ],
        body: Body::Each(is_cert),
    },
    FunctionDef {
        name: "CertExtensionOids",
        theme: THEME,
        params: &[CERTIFICATE],
        result: Types::TEXT,
        doc: "The object identifiers of the critical extensions. NULL stays NULL; what is no certificate is an error.",
        decision: "In the order of the certificate; NULL when no extension is critical.",
        examples: &[example_with(ANNA, "CertExtensionOids([cert])", r#"["2.5.29.19", "2.5.29.15"]"#)],
        body: Body::Whole(extension_oids),
    },
    of_certificate!(
        "CertFormat",
        Types::TEXT,
        "The name of the format.",
        "Always `X509`, as GetFormat gives.",
        r#""X509""#,
        |_| { Scalar::text("X509") }
    ),
    of_certificate!(
        "CertFriendlyName",
        Types::TEXT,
        "The alias of the certificate.",
        "Always an empty text: the alias is a property of a certificate store, not of the certificate.",
        r#""""#,
        |_| Scalar::text("")
    ),
    of_certificate!(
        "CertHashString",
        Types::TEXT,
        "The SHA-1 hash of the certificate in upper-case hexadecimal.",
        "",
        r#""D3F561CCD5F26ABDDD9CF2ADC5AFD8730AA769D8""#,
        |c| Scalar::text(upper_hex(&Sha1::digest(&c.der)))
    ),
    of_certificate!(
        "CertThumbprint",
        Types::TEXT,
        "The thumbprint: the SHA-1 hash of the certificate in upper-case hexadecimal.",
        "The same as CertHashString.",
        r#""D3F561CCD5F26ABDDD9CF2ADC5AFD8730AA769D8""#,
        |c| Scalar::text(upper_hex(&Sha1::digest(&c.der)))
    ),
    of_certificate!(
        "CertIssuer",
        Types::TEXT,
        "The distinguished name of the authority that issued the certificate.",
        "Written as .NET does: the last part of the name first, `, ` between parts, `S` for the state, `E` for a mail address, values with special characters in double quotes.",
        r#""CN=Contoso CA, O=\"Contoso, Ltd.\", C=US""#,
        |c| Scalar::text(c.issuer())
    ),
    of_certificate!(
        "CertIssuerDN",
        Types::TEXT,
        "The distinguished name of the authority that issued the certificate.",
        "The same as CertIssuer.",
        r#""CN=Contoso CA, O=\"Contoso, Ltd.\", C=US""#,
        |c| Scalar::text(c.issuer())
    ),
    of_certificate!(
        "CertIssuerOid",
        Types::TEXT,
        "The object identifier of the issuer's name.",
        "NULL: a name has no identifier of its own, and .NET gives none.",
        "null",
        |_| Scalar::Null
    ),
    of_certificate!(
        "CertKeyAlgorithm",
        Types::TEXT,
        "The algorithm of the public key.",
        "Its object identifier, as GetKeyAlgorithm gives.",
        r#""1.2.840.10045.2.1""#,
        |c| Scalar::text(c.key_algorithm())
    ),
    of_certificate!(
        "CertKeyAlgorithmParams",
        Types::TEXT,
        "The parameters of the public key's algorithm, their DER in upper-case hexadecimal.",
        "An empty text when it has none.",
        r#""06082A8648CE3D030107""#,
        |c| Scalar::text(upper_hex(&c.key_parameters()))
    ),
    FunctionDef {
        name: "CertNameInfo",
        theme: THEME,
        params: &[CERTIFICATE, word("nameType", NAME_TYPES), param("issuer", Types::BOOLEAN)],
        result: Types::TEXT,
        doc: "One name of the subject, or of the issuer when the last argument is True. NULL stays NULL; what is no certificate is an error.",
        decision: "As GetNameInfo of .NET: SimpleName is the common name, else the organisational unit, organisation or mail address; the others are looked for in the alternative names, EmailName and DnsName then in the name itself. An empty text when there is none. The type may be written with or without quotes.",
        examples: &[
            example_with(ANNA, r#"CertNameInfo([cert],"SimpleName",False)"#, r#""Anna Meier""#),
            example_with(ANNA, "CertNameInfo([cert],SimpleName,True)", r#""Contoso CA""#),
            example_with(ANNA, r#"CertNameInfo([cert],"UpnName",False)"#, r#""anna@contoso.com""#),
            example_with(ANNA, r#"CertNameInfo([cert],"EmailName",False)"#, r#""anna.meier@contoso.com""#),
            example_with(ANNA, r#"CertNameInfo([cert],"UrlName",False)"#, r#""""#),
        ],
        body: Body::Each(name_info),
    },
    of_certificate!(
        "CertNotAfter",
        Types::TIME,
        "The time after which the certificate is not valid.",
        "In UTC, not in the machine's time zone: all times of the language are, and so the comparison with Now() is right everywhere.",
        r#"{"$dt": "2035-06-30T12:00:00Z"}"#,
        |c| Scalar::Time(c.not_after())
    ),
    of_certificate!(
        "CertNotBefore",
        Types::TIME,
        "The time from which the certificate is valid.",
        "In UTC, as CertNotAfter.",
        r#"{"$dt": "2025-07-01T00:00:00Z"}"#,
        |c| Scalar::Time(c.not_before())
    ),
    of_certificate!(
        "CertPublicKeyOid",
        Types::TEXT,
        "The object identifier of the public key.",
        "That of its algorithm, as PublicKey.Oid gives.",
        r#""1.2.840.10045.2.1""#,
        |c| Scalar::text(c.key_algorithm())
    ),
    of_certificate!(
        "CertPublicKeyParametersOid",
        Types::TEXT,
        "The object identifier of the public key's parameters.",
        "That of the key's algorithm, as PublicKey.EncodedParameters.Oid gives.",
        r#""1.2.840.10045.2.1""#,
        |c| Scalar::text(c.key_algorithm())
    ),
    of_certificate!(
        "CertSerialNumber",
        Types::TEXT,
        "The serial number in upper-case hexadecimal, the highest byte first.",
        "All bytes of the certificate, a leading `00` too.",
        r#""00A1B2C3D4""#,
        |c| Scalar::text(upper_hex(c.serial_number()))
    ),
    of_certificate!(
        "CertSignatureAlgorithmOid",
        Types::TEXT,
        "The object identifier of the algorithm of the signature.",
        "",
        r#""1.2.840.10045.4.3.2""#,
        |c| Scalar::text(c.signature_algorithm())
    ),
    of_certificate!(
        "CertSubject",
        Types::TEXT,
        "The distinguished name of the subject.",
        "Written as CertIssuer's.",
        r#""CN=Anna Meier, OU=People, O=\"Contoso, Ltd.\", C=US""#,
        |c| Scalar::text(c.subject())
    ),
    of_certificate!(
        "CertSubjectNameDN",
        Types::TEXT,
        "The distinguished name of the subject.",
        "The same as CertSubject.",
        r#""CN=Anna Meier, OU=People, O=\"Contoso, Ltd.\", C=US""#,
        |c| Scalar::text(c.subject())
    ),
    of_certificate!(
        "CertSubjectNameOid",
        Types::TEXT,
        "The object identifier of the subject's name.",
        "NULL, as CertIssuerOid.",
        "null",
        |_| Scalar::Null
    ),
    of_certificate!(
        "CertVersion",
        Types::NUMBER,
        "The version of the certificate's format: 1, 2 or 3.",
        "",
        "3",
        |c| { Scalar::Int(c.version()) }
    ),
];

fn bytes<'s>(value: &'s Scalar<'_>) -> Result<Option<&'s [u8]>, Fault> {
    match value {
        Scalar::Bin(bytes) => Ok(Some(bytes)),
        other => Ok(text_of(other)?.map(str::as_bytes)),
    }
}

/// The certificate of the first argument; `None` for NULL.
fn read(value: &Scalar<'_>) -> Result<Option<Certificate>, Fault> {
    let Some(bytes) = bytes(value)? else { return Ok(None) };
    match Certificate::read(bytes) {
        Some(certificate) => Ok(Some(certificate)),
        None => Err(Fault::new("this is not an X.509 certificate: use IsCert where it may be none")),
    }
}

fn of<'a>(args: &[Scalar<'a>], give: fn(&Certificate) -> Scalar<'static>) -> Result<Scalar<'a>, Fault> {
    Ok(read(at(args, 0))?.as_ref().map_or(Scalar::Null, give))
}

fn is_cert<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let bytes = bytes(at(args, 0)).ok().flatten();
    Ok(Scalar::Bool(bytes.and_then(Certificate::read).is_some()))
}

fn name_info<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(certificate) = read(at(args, 0))? else { return Ok(Scalar::Null) };
    let of = match text_of(at(args, 1))?.unwrap_or_default() {
        "EmailName" => NameType::Email,
        "UpnName" => NameType::Upn,
        "DnsName" => NameType::Dns,
        "DnsFromAlternativeName" => NameType::DnsFromAlternativeName,
        "UrlName" => NameType::Url,
        _ => NameType::Simple,
    };
    let issuer = crate::operators::truth(&take(args, 2))?;
    Ok(Scalar::text(certificate.name(of, issuer)))
}

fn extension_oids<'a>(call: &mut Call<'_>, args: &mut [Val<'a>]) -> Result<Val<'a>, Fault> {
    let Some(Val::One(one)) = args.first() else { return Ok(Val::NULL) };
    let oids = read(one)?.map(|certificate| certificate.critical_extensions()).unwrap_or_default();
    Ok(Val::list(call.origin, oids.into_iter().map(Scalar::text).collect()))
}
