//! When certificates end: the one thing that is read of them here. Trust is decided by the TLS library.

use std::path::Path;

use onesync_model::Time;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::Expiry;

/// The ends of the certificates in a PEM file, in its order. What cannot be read is left out: whoever uses the file
/// says so.
#[must_use]
pub fn expiries_in(path: &Path) -> Vec<Expiry> {
    let Ok(all) = CertificateDer::pem_file_iter(path) else { return Vec::new() };
    let ends = all.filter_map(|found| not_after(found.ok()?.as_ref())).enumerate();
    ends.map(|(index, at)| Expiry { what: format!("certificate {} of `{}`", index + 1, path.display()), at })
        .collect()
}

/// The end of validity in a DER certificate: `Certificate { tbs { [0]?, serial, algorithm, issuer, validity`.
#[must_use]
pub fn not_after(der: &[u8]) -> Option<Time> {
    let (_, certificate, _) = element(der)?;
    let (_, tbs, _) = element(certificate)?;
    let (tag, _, after_version) = element(tbs)?;
    let mut rest = if tag == 0xa0 { after_version } else { tbs };
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after_start) = element(validity)?;
    let (tag, end, _) = element(after_start)?;
    let text = str::from_utf8(end).ok()?;
    // UTCTime has two digits of the year: 50 to 99 are of the last century (RFC 5280 4.1.2.5.1).
    let century = if text < "50" { "20" } else { "19" };
    Time::parse_generalized(&if tag == 0x17 { format!("{century}{text}") } else { text.to_owned() })
}

/// One DER element: tag, content, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        rest = after;
        (bytes.len() <= 4).then(|| bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)))?
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read_and_nonsense_has_none() {
        let key = rcgen::KeyPair::generate().unwrap();
        for (year, text) in [(2031, "2031-01-02T00:00:00Z"), (2055, "2055-01-02T00:00:00Z")] {
            let mut params = rcgen::CertificateParams::new(vec!["dc1".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 2);
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(not_after(certificate.der()).map(|at| at.to_string()).as_deref(), Some(text));
        }
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x82\xff",
            b"\x30\x03\x30\x01\x02",
            b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(not_after(der), None);
        }
    }
}
