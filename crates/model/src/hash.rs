//! The hashes of the store: XXH3, not cryptographic. They find rows and recognise unchanged content of
//! directories we were told to trust; whoever could forge a collision could as well write the values.

use std::fmt;

/// A 128-bit hash: identity of content, of an anchor, of a distinguished name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash128(pub [u8; 16]);

impl Hash128 {
    /// Adds another hash without regard to order (wrapping sum), as kept for sets of links and for plans.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(u128::from_be_bytes(self.0).wrapping_add(u128::from_be_bytes(other.0)).to_be_bytes())
    }

    /// Takes a hash out of a sum made by [`Hash128::plus`].
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(u128::from_be_bytes(self.0).wrapping_sub(u128::from_be_bytes(other.0)).to_be_bytes())
    }

    /// Reads 16 bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads what `Display` wrote: 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32)
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten()
            .map(|n| Self(n.to_be_bytes()))
    }
}

impl fmt::Display for Hash128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Hash128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes parts, each with its length, so that `("ab", "c")` and `("a", "bc")` differ.
#[must_use]
pub fn hash128(parts: &[&[u8]]) -> Hash128 {
    if let [one] = parts {
        return Hash128(xxhash_rust::xxh3::xxh3_128(one).to_be_bytes());
    }
    let mut state = xxhash_rust::xxh3::Xxh3::new();
    for part in parts {
        state.update(&(part.len() as u64).to_le_bytes());
        state.update(part);
    }
    Hash128(state.digest128().to_be_bytes())
}

/// Hashes one string of bytes to 64 bits: for index keys whose hits are always verified against the value itself.
#[must_use]
pub fn hash64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
