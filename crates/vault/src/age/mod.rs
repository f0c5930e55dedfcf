//! Files in the format of `age` (age-encryption.org/v1), sealed by a passphrase or to recipients, so that any tool for
//! that format opens them too.
//!
//! The header holds the file's own key, sealed once for each way to open it (`stanza`, `recipient`), and is bound by a
//! MAC; what follows is sealed in chunks (`stream`). Everything is read from and written to memory: a key file is small.
//! Deliberately absent: armor, plugins, SSH keys, keys with post-quantum parts, streams.

pub(crate) mod bech32;
mod recipient;
mod stanza;
mod stream;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use thiserror::Error;
use zeroize::Zeroizing;

pub(crate) use recipient::{Identity, Recipient};
use stanza::{Header, Stanza};

use crate::random;

/// Bytes of the key of one file.
const FILE_KEY_LEN: usize = 16;
/// Bytes of the salt of a passphrase.
const SALT_LEN: usize = 16;
/// What a passphrase costs here: scrypt with N = 2^17, r = 8 takes 128 MiB and about half a second.
pub(crate) const WORK_FACTOR: u8 = 17;
/// The most that is taken from a file: 2^20 are 1 GiB and a few seconds. A greater one would be there to stall us.
const WORK_FACTOR_MAX: u8 = 20;
/// Blocks of scrypt, as the format has it.
const SCRYPT_R: u32 = 8;

/// The key of one file.
type FileKey = Zeroizing<[u8; FILE_KEY_LEN]>;

/// Why a file is not opened or made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum AgeError {
    #[error("it does not begin like one")]
    NotAge,
    #[error("its header is not as the format says")]
    Header,
    #[error("its passphrase would take too long")]
    WorkFactor,
    #[error("it is cut short, or was changed")]
    Cut,
    #[error("nothing that was given opens it")]
    NoMatch,
    #[error("the system's source of randomness failed")]
    Random,
}

/// What a file is sealed by.
pub(crate) enum To<'a> {
    Passphrase { passphrase: &'a [u8], work_factor: u8 },
    Recipients(&'a [Recipient]),
}

/// What a file is opened with.
#[derive(Clone, Copy)]
pub(crate) enum With<'a> {
    Passphrase(&'a [u8]),
    Identities(&'a [Identity]),
}

/// Seals a text.
pub(crate) fn seal(plaintext: &[u8], to: &To<'_>) -> Result<Vec<u8>, AgeError> {
    let mut key = FileKey::default();
    random(&mut *key).map_err(|_| AgeError::Random)?;
    let stanzas = match to {
        To::Passphrase { passphrase, work_factor } => vec![by_passphrase(&key, passphrase, *work_factor)?],
        To::Recipients(recipients) => {
            recipients.iter().map(|recipient| recipient.wrap(&key)).collect::<Result<_, _>>()?
        }
    };
    let mut out = stanza::write(&stanzas);
    let mac = hmac::sign(&mac_key(&key)?, &out);
    stanza::finish(&mut out, mac.as_ref());
    let mut nonce = [0u8; stream::NONCE_LEN];
    random(&mut nonce).map_err(|_| AgeError::Random)?;
    out.extend_from_slice(&nonce);
    stream::seal(&*derive(&*key, &nonce, b"payload")?, plaintext, &mut out)?;
    Ok(out)
}

/// Whether a file is sealed by a passphrase.
pub(crate) fn is_by_passphrase(file: &[u8]) -> Result<bool, AgeError> {
    Ok(Header::read(file)?.0.stanzas.iter().any(|stanza| stanza.kind() == "scrypt"))
}

/// Opens a file.
pub(crate) fn open(file: &[u8], with: With<'_>) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    let (header, payload) = Header::read(file)?;
    let by_passphrase = header.stanzas.iter().any(|stanza| stanza.kind() == "scrypt");
    if by_passphrase && header.stanzas.len() != 1 {
        return Err(AgeError::Header); // who knows the passphrase must know that nobody else opens it
    }
    let mut key = None;
    for stanza in &header.stanzas {
        let found = match (with, stanza.kind()) {
            (With::Passphrase(passphrase), "scrypt") => with_passphrase(stanza, passphrase)?,
            (With::Identities(identities), "X25519") => recipient::unwrap(stanza, identities)?,
            _ => None,
        };
        key = key.or(found);
    }
    let key = key.ok_or(AgeError::NoMatch)?;
    hmac::verify(&mac_key(&key)?, header.covered, &header.mac).map_err(|_| AgeError::Cut)?;
    let (nonce, chunks) = payload.split_at_checked(stream::NONCE_LEN).ok_or(AgeError::Cut)?;
    stream::open(&*derive(&*key, nonce, b"payload")?, chunks)
}

fn by_passphrase(key: &FileKey, passphrase: &[u8], work_factor: u8) -> Result<Stanza, AgeError> {
    let mut salt = [0u8; SALT_LEN];
    random(&mut salt).map_err(|_| AgeError::Random)?;
    let body = wrap(&*stretch(passphrase, &salt, work_factor)?, key)?;
    Ok(Stanza { args: vec!["scrypt".to_owned(), stanza::encode(&salt), work_factor.to_string()], body })
}

fn with_passphrase(stanza: &Stanza, passphrase: &[u8]) -> Result<Option<FileKey>, AgeError> {
    let [_, salt, work_factor] = stanza.args.as_slice() else { return Err(AgeError::Header) };
    let salt = stanza::decode(salt).filter(|salt| salt.len() == SALT_LEN).ok_or(AgeError::Header)?;
    if work_factor.starts_with('0') || !work_factor.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AgeError::Header);
    }
    match work_factor.parse::<u8>() {
        Ok(work_factor @ 1..=WORK_FACTOR_MAX) => {
            unwrap_key(&*stretch(passphrase, &salt, work_factor)?, &stanza.body)
        }
        _ => Err(AgeError::WorkFactor),
    }
}

fn stretch(passphrase: &[u8], salt: &[u8], work_factor: u8) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let params = scrypt::Params::new(work_factor, SCRYPT_R, 1).map_err(|_| AgeError::WorkFactor)?;
    let salt = [b"age-encryption.org/v1/scrypt".as_slice(), salt].concat();
    let mut out = Zeroizing::new([0u8; 32]);
    scrypt::scrypt(passphrase, &salt, &params, &mut *out).map_err(|_| AgeError::WorkFactor)?;
    Ok(out)
}

/// Seals a file's key. Its sealing key is used for nothing else: the nonce is zero, as the format has it.
fn wrap(sealing: &[u8; 32], key: &FileKey) -> Result<Vec<u8>, AgeError> {
    // Sealed in place, with room for the tag: no copy stays.
    let mut body = Vec::with_capacity(FILE_KEY_LEN + CHACHA20_POLY1305.tag_len());
    body.extend_from_slice(&**key);
    chacha(sealing)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; NONCE_LEN]), Aad::empty(), &mut body)
        .map_err(|_| AgeError::Header)?;
    Ok(body)
}

/// Opens a file's key; nothing when it was sealed by another key.
fn unwrap_key(sealing: &[u8; 32], body: &[u8]) -> Result<Option<FileKey>, AgeError> {
    // Another length would let one body open under several keys.
    if body.len() != FILE_KEY_LEN + CHACHA20_POLY1305.tag_len() {
        return Err(AgeError::Header);
    }
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let Ok(opened) = chacha(sealing)?.open_in_place(nonce, Aad::empty(), &mut body) else { return Ok(None) };
    let mut key = FileKey::default();
    key.copy_from_slice(opened);
    Ok(Some(key))
}

fn chacha(key: &[u8]) -> Result<LessSafeKey, AgeError> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(|_| AgeError::Header)
}

fn mac_key(key: &FileKey) -> Result<hmac::Key, AgeError> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &*derive(&**key, &[], b"header")?))
}

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let mut out = Zeroizing::new([0u8; 32]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *out))
        .map_err(|_| AgeError::Header)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of the format (C2SP/CCTV): all without armor and small enough for a key file.
    #[test]
    fn the_vectors_of_the_format_are_met() {
        let mut seen = 0;
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/age")).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
            let said = std::str::from_utf8(&bytes[..end]).unwrap();
            let all = |name: &str| -> Vec<&str> {
                said.lines().filter_map(|l| l.split_once(": ")).filter(|l| l.0 == name).map(|l| l.1).collect()
            };
            let identities: Vec<_> =
                all("identity").iter().map(|text| Identity::parse(text).unwrap()).collect();
            let file = &bytes[end + 2..];
            let mut outcomes = Vec::new();
            for passphrase in all("passphrase") {
                outcomes.push(open(file, With::Passphrase(passphrase.as_bytes())));
            }
            if !identities.is_empty() || outcomes.is_empty() {
                outcomes.push(open(file, With::Identities(&identities)));
            }
            // A file that names both is one that neither opens.
            let outcome = outcomes.into_iter().next_back().unwrap();
            let met = match (all("expect")[0], &outcome) {
                ("success", Ok(text)) => {
                    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text);
                    all("payload") == [crate::hex(hash.as_ref())]
                }
                ("no match", Err(error)) => *error == AgeError::NoMatch,
                ("HMAC failure" | "payload failure", Err(error)) => *error == AgeError::Cut,
                ("header failure", Err(error)) => *error != AgeError::NoMatch,
                _ => false,
            };
            assert!(met, "{}: {said}\n{:?}", path.display(), outcome.map(|text| text.len()));
            seen += 1;
        }
        assert!(seen > 70, "{seen}");
    }

    #[test]
    fn long_texts_go_in_chunks_and_no_cut_is_taken_for_the_end() {
        let identity = Identity::make().unwrap();
        let recipients = [identity.recipient().unwrap()];
        for len in [0, 1, 65_535, 65_536, 65_537, 131_072] {
            let text: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let file = seal(&text, &To::Recipients(&recipients)).unwrap();
            let open = |file: &[u8]| super::open(file, With::Identities(std::slice::from_ref(&identity)));
            assert_eq!(*open(&file).unwrap(), text, "{len}");
            for cut in [1, 16, 17, 65_536 + 16] {
                let Some(left) = file.len().checked_sub(cut).filter(|left| *left > 0) else { continue };
                assert!(open(&file[..left]).is_err(), "{len} without {cut}");
            }
            assert_eq!(open(&[&file[..], b"x"].concat()).unwrap_err(), AgeError::Cut);
        }
    }

    /// Written by another implementation (rage, by its Python binding) for the password and the identity below.
    #[test]
    fn files_of_another_program_open() {
        let by_password = include_bytes!("../../tests/other/passphrase.age");
        let opened = open(by_password, With::Passphrase(b"correct horse battery")).unwrap();
        assert_eq!(&*opened, b"sealed by rage");
        let identities = [Identity::parse(include_str!("../../tests/other/identity.txt").trim()).unwrap()];
        let opened =
            open(include_bytes!("../../tests/other/recipients.age"), With::Identities(&identities)).unwrap();
        assert_eq!(&*opened, b"sealed by rage");
    }
}
