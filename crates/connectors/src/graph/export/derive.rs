//! What a new object needs and the rules need not give: an initial password, a valid `mailNickname`.

use aws_lc_rs::digest;
use secrecy::SecretString;

/// Classes of characters of which the service wants three; every password has all four. Without look-alikes.
const CLASSES: [&[u8]; 4] =
    [b"abcdefghijkmnopqrstuvwxyz", b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"23456789", b"!#$%&*+-.:=?@_~"];
/// Most characters of a `mailNickname`.
const NICKNAME_MAX: usize = 64;

/// A stream of bytes from a seed: SHA-256 over seed, purpose and a counter.
struct Stream<'s> {
    seed: &'s [u8; 32],
    purpose: &'s str,
    counter: u64,
    block: Vec<u8>,
}

impl Stream<'_> {
    fn byte(&mut self) -> u8 {
        if self.block.is_empty() {
            let mut hash = digest::Context::new(&digest::SHA256);
            hash.update(self.seed);
            hash.update(&self.counter.to_le_bytes());
            hash.update(self.purpose.as_bytes());
            self.block = hash.finish().as_ref().to_vec();
            self.counter += 1;
        }
        self.block.pop().unwrap_or_default()
    }

    /// A number below `end`, each equally likely.
    fn below(&mut self, end: usize) -> usize {
        let end = end.clamp(1, 256);
        let fair = 256 - 256 % end;
        loop {
            let byte = usize::from(self.byte());
            if byte < fair {
                return byte % end;
            }
        }
    }
}

/// Draws after which a password is taken as it is: a name that is in all of them is one that nobody checks for.
const DRAWS_MAX: usize = 100;

/// An initial password: the same for the same seed and purpose, and guessable by nobody without the seed. The service
/// refuses one that has the person's sign-in name in it, in capitals or not; a short one can get there by chance.
pub(super) fn password(seed: &[u8; 32], purpose: &str, length: usize, name: &str) -> SecretString {
    let mut stream = Stream { seed, purpose, counter: 0, block: Vec::new() };
    let named = |text: &str| !name.is_empty() && text.to_lowercase().contains(&name.to_lowercase());
    let mut text = draw(&mut stream, length);
    for _ in 1..DRAWS_MAX {
        if !named(&text) {
            break;
        }
        text = draw(&mut stream, length);
    }
    SecretString::from(text)
}

fn draw(stream: &mut Stream<'_>, length: usize) -> String {
    let all: Vec<u8> = CLASSES.concat();
    let mut chosen: Vec<u8> = Vec::with_capacity(length);
    for at in 0..length {
        let from = CLASSES.get(at).copied().unwrap_or(&all);
        chosen.extend(from.get(stream.below(from.len())));
    }
    // The one of each class must not stand in front always.
    for at in (1..chosen.len()).rev() {
        let other = stream.below(at + 1);
        chosen.swap(at, other);
    }
    chosen.into_iter().map(char::from).collect()
}

/// A valid `mailNickname` of the first text that gives one.
pub(super) fn nickname(sources: &[&str]) -> String {
    let valid = sources.iter().map(|text| valid_nickname(text)).find(|n| !n.is_empty());
    valid.unwrap_or_else(|| format!("onesync-{:016x}", onesync_model::hash64(sources.concat().as_bytes())))
}

/// What is left of a text when everything is taken out that the service refuses in a `mailNickname`.
pub(super) fn valid_nickname(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter(|c| {
            c.is_ascii_graphic()
                && !matches!(
                    c,
                    '@' | '(' | ')' | '\\' | '/' | '[' | ']' | '"' | '\'' | ';' | ':' | '<' | '>' | ','
                )
        })
        .take(NICKNAME_MAX)
        .collect();
    kept.trim_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn passwords_meet_the_policy_and_depend_on_seed_and_purpose() {
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..200u8 {
            let secret = password(&[n; 32], "user a", 16, "nobody");
            let text = secret.expose_secret().to_owned();
            assert_eq!(text.len(), 16);
            assert!(CLASSES.iter().all(|class| text.bytes().any(|b| class.contains(&b))), "{text}");
            assert!(seen.insert(text));
        }
        let same = password(&[1; 32], "user a", 16, "nobody");
        assert!(seen.contains(same.expose_secret()));
        assert!(!seen.contains(password(&[1; 32], "user b", 16, "nobody").expose_secret()));
    }

    #[test]
    fn no_password_has_the_name_in_it() {
        let has = |name: &str, avoid: &str| {
            let of = |n| password(&[n; 32], "user", 32, avoid).expose_secret().to_ascii_lowercase();
            (0..200u8).filter(|&n| of(n).contains(name)).count()
        };
        assert!(has("u2", "") > 0, "by chance it is in some");
        assert_eq!(has("u2", "U2"), 0);
    }

    #[test]
    fn nicknames_are_made_valid() {
        assert_eq!(nickname(&["naveen.mills,.jr."]), "naveen.mills.jr");
        assert_eq!(nickname(&["", "All Staff (Jena)"]), "AllStaffJena");
        assert_eq!(nickname(&["x".repeat(80).as_str()]).len(), 64);
        let made = nickname(&["\u{4f50}\u{85e4}"]);
        assert!(made.starts_with("onesync-") && made == nickname(&["\u{4f50}\u{85e4}"]), "{made}");
    }
}
