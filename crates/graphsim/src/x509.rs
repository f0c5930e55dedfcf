//! Just enough of X.509 to take the public key out of a certificate.
//!
//! Deliberately absent: chains, names, validity: the real token endpoint trusts what is registered, and so do we.

/// The DER of the first certificate in a PEM text.
pub(crate) fn der_of_pem(pem: &str) -> Option<Vec<u8>> {
    let body = pem.split("-----BEGIN CERTIFICATE-----").nth(1)?;
    crate::auth::base64_lines(body.split("-----END CERTIFICATE-----").next()?)
}

/// The public key of a certificate: the contents of the bit string in its SubjectPublicKeyInfo.
pub(crate) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate, SEQUENCE)?;
    let (_, mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields, VERSION)?.2;
    }
    // serial, algorithm, issuer, validity, subject
    for _ in 0..5 {
        let tag = *fields.first()?;
        fields = element(fields, tag)?.2;
    }
    let (_, info, _) = element(fields, SEQUENCE)?;
    let (_, _, rest) = element(info, SEQUENCE)?;
    let (_, bits, _) = element(rest, BIT_STRING)?;
    bits.split_first().map(|(_unused_bits, key)| key.to_vec())
}

/// Splits one element off: tag, contents, what follows.
fn element(bytes: &[u8], tag: u8) -> Option<(u8, &[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let count = usize::from(length & 0x7f);
        // Four length bytes are 4 GiB: no certificate has more.
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0usize, |n, d| n << 8 | usize::from(*d)), rest)
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_is_no_key() {
        for bytes in
            [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 2, 0x30, 0]]
        {
            assert_eq!(public_key(bytes), None);
        }
        assert_eq!(der_of_pem("no pem"), None);
    }
}
