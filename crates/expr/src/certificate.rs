//! Reading a certificate, and writing its names as .NET writes them.
//!
//! Absent: whether a certificate is to be trusted. Nothing here verifies a signature.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD as BASE64};
use onesync_model::Time;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::name::Name;

use crate::functions::upper_hex;

/// Longer ones are none: real ones have a few kilobytes.
const LENGTH_MAX: usize = 256 * 1024;
/// The user principal name in a subject alternative name (MS-WCCE 2.2.2.7.7.4).
const UPN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.3");
const SUBJECT_NAMES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const ISSUER_NAMES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.18");
const EMAIL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// What stands for the whole name, the most telling first.
const SIMPLE: [ObjectIdentifier; 4] =
    [COMMON_NAME, ObjectIdentifier::new_unwrap("2.5.4.11"), ObjectIdentifier::new_unwrap("2.5.4.10"), EMAIL];

/// The names of attribute types in names, as CertNameToStr writes them.
const KEYS: [(ObjectIdentifier, &str); 20] = [
    (COMMON_NAME, "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.4"), "SN"),
    (ObjectIdentifier::new_unwrap("2.5.4.5"), "SERIALNUMBER"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "S"),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), "STREET"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.12"), "T"),
    (ObjectIdentifier::new_unwrap("2.5.4.13"), "Description"),
    (ObjectIdentifier::new_unwrap("2.5.4.17"), "PostalCode"),
    (ObjectIdentifier::new_unwrap("2.5.4.18"), "POBox"),
    (ObjectIdentifier::new_unwrap("2.5.4.20"), "Phone"),
    (ObjectIdentifier::new_unwrap("2.5.4.42"), "G"),
    (ObjectIdentifier::new_unwrap("2.5.4.43"), "I"),
    (ObjectIdentifier::new_unwrap("2.5.4.46"), "dnQualifier"),
    (ObjectIdentifier::new_unwrap("2.5.4.65"), "Pseudonym"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), "DC"),
    (EMAIL, "E"),
];

/// Which of a certificate's names is asked for: X509NameType of .NET.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NameType {
    Simple,
    Email,
    Upn,
    Dns,
    DnsFromAlternativeName,
    Url,
}

/// A certificate that was read, and its bytes.
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    inner: CertificateInner<Raw>,
}

impl Certificate {
    /// Reads DER, or base64 with or without the lines around it; `None` when it is no certificate.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LENGTH_MAX {
            return None;
        }
        let der = match bytes.first()? {
            0x30 => bytes.to_vec(),
            _ => decode_text(std::str::from_utf8(bytes).ok()?)?,
        };
        let inner = CertificateInner::from_der(&der).ok()?;
        Some(Self { der, inner })
    }

    pub(crate) fn not_after(&self) -> Time {
        time(&self.inner.tbs_certificate().validity().not_after)
    }

    pub(crate) fn not_before(&self) -> Time {
        time(&self.inner.tbs_certificate().validity().not_before)
    }

    /// 1, 2 or 3.
    pub(crate) fn version(&self) -> i64 {
        self.inner.tbs_certificate().version() as i64 + 1
    }

    pub(crate) fn serial_number(&self) -> &[u8] {
        self.inner.tbs_certificate().serial_number().as_bytes()
    }

    pub(crate) fn key_algorithm(&self) -> String {
        self.inner.tbs_certificate().subject_public_key_info().algorithm.oid.to_string()
    }

    /// The parameters of the key's algorithm in DER; none is an empty list.
    pub(crate) fn key_parameters(&self) -> Vec<u8> {
        let algorithm = &self.inner.tbs_certificate().subject_public_key_info().algorithm;
        algorithm.parameters.as_ref().and_then(|any| any.to_der().ok()).unwrap_or_default()
    }

    pub(crate) fn signature_algorithm(&self) -> String {
        self.inner.signature_algorithm().oid.to_string()
    }

    /// The OIDs of the critical extensions.
    pub(crate) fn critical_extensions(&self) -> Vec<String> {
        let all = self.inner.tbs_certificate().extensions().map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|extension| extension.critical).map(|e| e.extn_id.to_string()).collect()
    }

    pub(crate) fn subject(&self) -> String {
        distinguished(self.inner.tbs_certificate().subject())
    }

    pub(crate) fn issuer(&self) -> String {
        distinguished(self.inner.tbs_certificate().issuer())
    }

    /// One of the names; empty when there is none of that type.
    pub(crate) fn name(&self, of: NameType, issuer: bool) -> String {
        let tbs = self.inner.tbs_certificate();
        let (name, extension) =
            if issuer { (tbs.issuer(), ISSUER_NAMES) } else { (tbs.subject(), SUBJECT_NAMES) };
        let alternative = || self.alternative(extension, of);
        let in_name = |oid: ObjectIdentifier| all(name).find(|pair| pair.oid == oid).map(text);
        match of {
            NameType::Simple => SIMPLE
                .into_iter()
                .find_map(in_name)
                .or_else(|| self.alternative(extension, NameType::Email))
                .or_else(|| all(name).next().map(text)),
            NameType::Email => alternative().or_else(|| in_name(EMAIL)),
            NameType::Dns => alternative().or_else(|| in_name(COMMON_NAME)),
            NameType::Upn | NameType::DnsFromAlternativeName | NameType::Url => alternative(),
        }
        .unwrap_or_default()
    }

    /// The first alternative name of a type.
    fn alternative(&self, extension: ObjectIdentifier, of: NameType) -> Option<String> {
        let extensions = self.inner.tbs_certificate().extensions()?;
        let found = extensions.iter().find(|e| e.extn_id == extension)?;
        let names = GeneralNames::from_der(found.extn_value.as_bytes()).ok()?;
        names.iter().find_map(|name| match (name, of) {
            (GeneralName::Rfc822Name(mail), NameType::Email) => Some(mail.to_string()),
            (GeneralName::DnsName(dns), NameType::Dns | NameType::DnsFromAlternativeName) => {
                Some(dns.to_string())
            }
            (GeneralName::UniformResourceIdentifier(url), NameType::Url) => Some(url.to_string()),
            (GeneralName::OtherName(other), NameType::Upn) if other.type_id == UPN => {
                Some(decoded(other.value.tag(), other.value.value()))
            }
            _ => None,
        })
    }
}

fn decode_text(text: &str) -> Option<Vec<u8>> {
    const PEM: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new());
    let body = match text.split_once("-----BEGIN CERTIFICATE-----") {
        Some((_, rest)) => rest.split_once("-----END CERTIFICATE-----")?.0,
        None => text,
    };
    let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    PEM.decode(&digits).or_else(|_| BASE64.decode(&digits)).ok()
}

fn time(time: &x509_cert::time::Time) -> Time {
    Time::from_seconds(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
}

fn all(name: &Name) -> impl Iterator<Item = &AttributeTypeAndValue> {
    name.iter_rdn().flat_map(|rdn| rdn.iter())
}

/// The name as X500DistinguishedName.Name gives it: the last part first, `, ` between parts, `+` in parts of several.
fn distinguished(name: &Name) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|rdn| rdn.iter().map(pair).collect::<Vec<_>>().join(" + ")).collect();
    parts.reverse();
    parts.join(", ")
}

fn pair(pair: &AttributeTypeAndValue) -> String {
    let value = quoted(&text(pair));
    match KEYS.iter().find(|(oid, _)| *oid == pair.oid) {
        Some((_, key)) => format!("{key}={value}"),
        None => format!("OID.{}={value}", pair.oid),
    }
}

/// In quotes where it would be misread without.
fn quoted(value: &str) -> String {
    let odd = value.is_empty()
        || value.starts_with(' ')
        || value.ends_with(' ')
        || value.contains([',', '+', '=', '"', '\n', '<', '>', '#', ';']);
    if odd { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_owned() }
}

fn text(pair: &AttributeTypeAndValue) -> String {
    decoded(pair.value.tag(), pair.value.value())
}

/// The text of an ASN.1 string; what is none is shown as bytes are in names.
fn decoded(tag: Tag, bytes: &[u8]) -> String {
    match tag {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        // Two bytes a character, high byte first.
        Tag::BmpString => {
            let (pairs, _) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16_lossy(&units)
        }
        // T.61 in the standard, Latin 1 in practice.
        Tag::TeletexString => bytes.iter().map(|&b| char::from(b)).collect(),
        _ => format!("#{}", upper_hex(bytes)),
    }
}
