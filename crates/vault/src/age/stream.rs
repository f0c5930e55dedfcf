//! What follows a header: chunks of 64 KiB, each sealed with its number, the last one marked.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, Nonce};
use zeroize::Zeroizing;

use super::{AgeError, chacha};

/// Bytes of the nonce from which the key of the chunks comes.
pub(super) const NONCE_LEN: usize = 16;
/// Bytes of a chunk.
const CHUNK: usize = 64 << 10;

/// The number of a chunk (11 bytes) and whether it is the last.
fn nonce(number: u64, last: bool) -> Nonce {
    let mut out = [0u8; aws_lc_rs::aead::NONCE_LEN];
    if let Some(place) = out.get_mut(3..11) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    if let Some(place) = out.last_mut() {
        *place = u8::from(last);
    }
    Nonce::assume_unique_for_key(out)
}

pub(super) fn seal(key: &[u8; 32], text: &[u8], out: &mut Vec<u8>) -> Result<(), AgeError> {
    let key = chacha(key)?;
    let mut chunks = text.chunks(CHUNK).peekable();
    let mut number = 0;
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        let mut sealed = Zeroizing::new(Vec::with_capacity(chunk.len() + CHACHA20_POLY1305.tag_len()));
        sealed.extend_from_slice(chunk);
        key.seal_in_place_append_tag(nonce(number, last), Aad::empty(), &mut *sealed)
            .map_err(|_| AgeError::Header)?;
        out.extend_from_slice(&sealed);
        if last {
            return Ok(());
        }
        number += 1;
    }
}

pub(super) fn open(key: &[u8; 32], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    let key = chacha(key)?;
    let mut text = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let mut chunks = sealed.chunks(CHUNK + CHACHA20_POLY1305.tag_len()).peekable();
    let mut number = 0;
    while let Some(chunk) = chunks.next() {
        let last = chunks.peek().is_none();
        let mut chunk = Zeroizing::new(chunk.to_vec());
        let opened =
            key.open_in_place(nonce(number, last), Aad::empty(), &mut chunk).map_err(|_| AgeError::Cut)?;
        // Only a text without a letter has an empty chunk.
        if opened.is_empty() && number > 0 {
            return Err(AgeError::Cut);
        }
        text.extend_from_slice(opened);
        if last {
            return Ok(text);
        }
        number += 1;
    }
    Err(AgeError::Cut)
}
