//! Bech32 (BIP 173): bytes as letters that are hard to mistake, with a checksum that finds up to four wrong ones.

use zeroize::Zeroizing;

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECK_LEN: usize = 6;
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
/// Longer than anything that is written so.
const TEXT_MAX: usize = 200;

/// Bytes as text after a prefix, in lower case.
pub(crate) fn encode(prefix: &str, bytes: &[u8]) -> Zeroizing<String> {
    let fives = regroup(bytes, 8, 5, true).unwrap_or_default();
    let mut check = checksum(prefix, &fives, &[0; CHECK_LEN]) ^ 1;
    let mut last = [0u8; CHECK_LEN];
    for place in last.iter_mut().rev() {
        *place = (check & 31) as u8;
        check >>= 5;
    }
    let mut out = Zeroizing::new(String::with_capacity(TEXT_MAX));
    out.push_str(prefix);
    out.push('1');
    for five in fives.iter().chain(&last) {
        out.push(char::from(LETTERS.get(usize::from(*five)).copied().unwrap_or(b'q')));
    }
    out
}

/// The bytes of a text with this prefix; nothing when a letter is wrong.
pub(crate) fn decode(prefix: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mixed = text.bytes().any(|byte| byte.is_ascii_lowercase())
        && text.bytes().any(|byte| byte.is_ascii_uppercase());
    if mixed || text.len() > TEXT_MAX {
        return None;
    }
    let text = Zeroizing::new(text.to_ascii_lowercase());
    let letters = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let mut fives = Zeroizing::new(Vec::with_capacity(letters.len()));
    for letter in letters.bytes() {
        fives.push(LETTERS.iter().position(|known| *known == letter)? as u8);
    }
    let at = fives.len().checked_sub(CHECK_LEN)?;
    let (values, check) = fives.split_at_checked(at)?;
    if checksum(prefix, values, check) != 1 {
        return None;
    }
    regroup(values, 5, 8, false)
}

fn checksum(prefix: &str, values: &[u8], check: &[u8]) -> u32 {
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    let all = high.chain([0]).chain(low).chain(values.iter().copied()).chain(check.iter().copied());
    all.fold(1u32, |sum, value| {
        let top = sum >> 25;
        let sum = ((sum & 0x01ff_ffff) << 5) ^ u32::from(value);
        GENERATOR
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(sum, |sum, (_, term)| sum ^ term)
    })
}

fn regroup(values: &[u8], from: u32, to: u32, pad: bool) -> Option<Zeroizing<Vec<u8>>> {
    let (mut sum, mut bits) = (0u32, 0u32);
    let mut out = Zeroizing::new(Vec::with_capacity(values.len() * from as usize / to as usize + 1));
    for value in values {
        sum = (sum << from | u32::from(*value)) & 0xfff;
        bits += from;
        while bits >= to {
            bits -= to;
            out.push((sum >> bits & ((1 << to) - 1)) as u8);
        }
    }
    let rest = sum & ((1 << bits) - 1);
    match pad {
        true if bits > 0 => out.push((rest << (to - bits)) as u8),
        false if bits >= from || rest != 0 => return None,
        _ => {}
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_a_wrong_letter_is_found() {
        for len in [0, 1, 5, 32, 39] {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 37) as u8).collect();
            let text = encode("age", &bytes);
            assert_eq!(*decode("age", &text).unwrap(), bytes);
            assert_eq!(*decode("age", &text.to_uppercase()).unwrap(), bytes);
            for at in 0..text.len() {
                for other in ["q", "p", "x", "b", "1", "Q"] {
                    let mut wrong = text.to_string();
                    wrong.replace_range(at..=at, other);
                    assert!(wrong == *text || decode("age", &wrong).is_none(), "{wrong}");
                }
            }
            assert!(decode("agf", &text).is_none() && decode("age", &text[1..]).is_none());
        }
    }
}
