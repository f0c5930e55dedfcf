//! A secret in shares, of which a threshold brings it back and fewer say nothing (Shamir, over GF(256)).
//!
//! A share is one line of text with a checksum, the number of the share, how many are needed, and the id of the set,
//! which is taken from the secret itself: a secret that was put together wrongly is noticed.
//! Deliberately absent: what the secret opens (`keyfile`).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::agefile::{bytes, letters};
use crate::{VaultError, hex, random};

/// How a share begins.
const PREFIX: &str = "onesync-share-";
const VERSION: u8 = 1;
/// Bytes of a secret.
pub(crate) const SECRET_LEN: usize = 32;
/// Bytes of the id of a set.
const SET_LEN: usize = 4;
/// Bytes of a share: version, set, threshold, number, what is shared.
const SHARE_LEN: usize = 1 + SET_LEN + 2 + SECRET_LEN;
/// More people than can be brought together.
const SHARES_MAX: u8 = 32;

/// How many shares there are, and how many of them are needed: `3-of-5`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Split {
    needed: u8,
    count: u8,
}

impl Split {
    /// Reads `3-of-5`.
    ///
    /// # Errors
    /// When it is none, or asks for fewer than two shares, more than there are, or more than 32.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let split = text.split_once("-of-").and_then(|(needed, count)| {
            Some(Self { needed: needed.parse().ok()?, count: count.parse().ok()? })
        });
        split
            .filter(|split| split.needed >= 2 && split.needed <= split.count && split.count <= SHARES_MAX)
            .ok_or(VaultError::Split)
    }

    /// How many are needed.
    #[must_use]
    pub fn needed(self) -> u8 {
        self.needed
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> u8 {
        self.count
    }
}

/// Splits a secret; each line goes to somebody else.
pub(crate) fn split(secret: &[u8], split: Split) -> Result<Vec<Zeroizing<String>>, VaultError> {
    let mut terms = Zeroizing::new(vec![0u8; usize::from(split.needed - 1) * SECRET_LEN]);
    random(&mut terms)?;
    let set = set_of(secret);
    let share = |number: u8| {
        let mut out = Zeroizing::new(Vec::with_capacity(SHARE_LEN));
        out.push(VERSION);
        out.extend_from_slice(&set);
        out.extend_from_slice(&[split.needed, number]);
        for (at, byte) in secret.iter().enumerate() {
            // Horner's rule from the highest term down to the secret.
            let terms = terms.iter().skip(at).step_by(SECRET_LEN);
            let high = terms.fold(0, |sum, term| times(sum, number) ^ term);
            out.push(times(high, number) ^ byte);
        }
        letters(PREFIX, &out).ok_or(VaultError::Random)
    };
    (1..=split.count).map(share).collect()
}

/// Puts a secret together from shares, one a line; empty lines and comments are skipped.
pub(crate) fn combine<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> Result<Zeroizing<[u8; SECRET_LEN]>, VaultError> {
    let mut shares: Vec<Share> = Vec::new();
    let mut first: Option<(usize, [u8; SET_LEN])> = None;
    // Each text is a line, or a file of them: what an export wrote has a comment above each share.
    let lines = lines.flat_map(str::lines).map(str::trim);
    for (at, line) in lines.filter(|line| !line.is_empty() && !line.starts_with('#')).enumerate() {
        let share = Share::parse(line).ok_or(VaultError::ShareDamaged { place: at + 1 })?;
        let (of, set) = *first.get_or_insert((at + 1, share.set));
        if set != share.set {
            return Err(VaultError::ShareOfOtherSet {
                place: at + 1,
                set: hex(&share.set),
                other: of,
                other_set: hex(&set),
            });
        }
        if shares.iter().all(|known| known.number != share.number) {
            shares.push(share);
        }
    }
    let needed = shares.first().map_or(2, |share| share.needed);
    if shares.len() < usize::from(needed) {
        return Err(VaultError::SharesTooFew { found: shares.len(), needed: usize::from(needed) });
    }
    shares.truncate(usize::from(needed));
    let mut secret = Zeroizing::new([0u8; SECRET_LEN]);
    for share in &shares {
        let others = shares.iter().map(|other| other.number).filter(|number| *number != share.number);
        let weight =
            others.fold(1, |weight, other| times(weight, times(other, inverse(other ^ share.number))));
        for (place, byte) in secret.iter_mut().zip(share.value.iter()) {
            *place ^= times(weight, *byte);
        }
    }
    let fits = first.is_some_and(|(_, set)| verify_slices_are_equal(&set, &set_of(&*secret)).is_ok());
    if fits { Ok(secret) } else { Err(VaultError::SharesContradict) }
}

struct Share {
    set: [u8; SET_LEN],
    needed: u8,
    number: u8,
    value: Zeroizing<Vec<u8>>,
}

impl Share {
    fn parse(line: &str) -> Option<Self> {
        let bytes = bytes(PREFIX, line).filter(|bytes| bytes.len() == SHARE_LEN)?;
        let (&version, rest) = bytes.split_first()?;
        let (set, rest) = rest.split_first_chunk::<SET_LEN>()?;
        let (&[needed, number], value) = rest.split_first_chunk::<2>()?;
        (version == VERSION && needed >= 2 && number > 0).then(|| Self {
            set: *set,
            needed,
            number,
            value: Zeroizing::new(value.to_vec()),
        })
    }
}

/// The id of a set: of a hash of the secret, which says nothing about it.
fn set_of(secret: &[u8]) -> [u8; SET_LEN] {
    let text = Zeroizing::new([b"onesync share set".as_slice(), secret].concat());
    let hash = digest(&SHA256, &text);
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Multiplication in GF(256) with the polynomial of AES; as long for any two values.
fn times(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (a, 0u8);
    for bit in 0..8 {
        product ^= a & 0u8.wrapping_sub(b >> bit & 1);
        a = (a << 1) ^ (0x1b & 0u8.wrapping_sub(a >> 7));
    }
    product
}

/// What a value is to be multiplied with to give one: its 254th power.
fn inverse(a: u8) -> u8 {
    let mut power = 1;
    for bit in (0..8).rev() {
        power = times(power, power);
        if 254u8 >> bit & 1 == 1 {
            power = times(power, a);
        }
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_the_one_of_aes() {
        assert_eq!((times(0x57, 0x83), times(0x57, 0x13)), (0xc1, 0xfe)); // FIPS 197, 4.2
        for a in 1..=255 {
            assert_eq!(times(a, inverse(a)), 1);
        }
    }

    #[test]
    fn any_three_of_five_bring_it_back_and_two_do_not() {
        let mut secret = [0u8; SECRET_LEN];
        random(&mut secret).unwrap();
        let lines = split(&secret, Split::parse("3-of-5").unwrap()).unwrap();
        assert!(lines.iter().all(|line| line.starts_with("onesync-share-1") && line.len() <= 90));
        let pick = |which: &[usize]| combine(which.iter().map(|at| lines[*at].as_str()));
        for a in 0..5 {
            for b in 0..5 {
                for c in 0..5 {
                    let different = a != b && b != c && a != c;
                    match pick(&[a, b, c]) {
                        Ok(found) => assert!(different && *found == secret),
                        Err(VaultError::SharesTooFew { needed: 3, .. }) => assert!(!different),
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        }
        assert_eq!(*pick(&[0, 1, 2, 3, 4]).unwrap(), secret);
        assert!(matches!(pick(&[0, 1]), Err(VaultError::SharesTooFew { found: 2, needed: 3 })));
        assert!(matches!(pick(&[]), Err(VaultError::SharesTooFew { found: 0, .. })));
    }

    #[test]
    fn damage_and_mixture_are_told_apart() {
        let secret = [7u8; SECRET_LEN];
        let two = Split::parse("2-of-3").unwrap();
        let (ours, others) = (split(&secret, two).unwrap(), split(&[8u8; SECRET_LEN], two).unwrap());
        let whole = format!(
            "# share 1 of 3; 2 of them open the key file\r\n{}\n\n# share 2\n{}\n",
            *ours[0], *ours[1]
        );
        assert_eq!(*combine([whole.as_str()].into_iter()).unwrap(), secret, "a file with all of them");
        let damaged = ours[1].replace(['q', 'p'], "z");
        let error = combine(["# two people", &ours[0], "", &damaged].into_iter()).err().unwrap();
        assert!(matches!(error, VaultError::ShareDamaged { place: 2 }), "{error}");
        let error = combine([ours[0].as_str(), &others[1]].into_iter()).err().unwrap();
        assert!(matches!(error, VaultError::ShareOfOtherSet { place: 2, other: 1, .. }), "{error}");
        // Split twice: each share is whole and names the same secret, and they do not belong together.
        let again = split(&secret, two).unwrap();
        let error = combine([ours[0].as_str(), &again[1]].into_iter()).err().unwrap();
        assert!(matches!(error, VaultError::SharesContradict), "{error}");
    }

    #[test]
    fn a_split_makes_sense() {
        for wrong in ["", "3", "1-of-5", "6-of-5", "3-of-33", "3-of-300", "-of-", "3of5"] {
            assert!(matches!(Split::parse(wrong), Err(VaultError::Split)), "{wrong}");
        }
        let split = Split::parse("32-of-32").unwrap();
        assert_eq!((split.needed(), split.count()), (32, 32));
    }
}
