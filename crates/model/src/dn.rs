//! Distinguished names (RFC 4514), as far as a synchronisation needs them: parse, compare, take apart.

use std::fmt;

use thiserror::Error;

use crate::{Hash128, fold_case, hash128};

/// Components a DN may have. AD's own limit lies far below; a longer one is damage or an attack.
const COMPONENTS_MAX: usize = 256;

/// One relative distinguished name, e.g. `CN=Anna` or `CN=a+UID=1`, as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rdn(String);

impl Rdn {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which RDNs are compared.
    #[must_use]
    pub fn normalised(&self) -> String {
        normalise_rdn(&self.0)
    }
}

/// A parsed distinguished name, the object's own RDN first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dn(Vec<Rdn>);

/// Why text is not a distinguished name.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{text}` is not a distinguished name: {why}")]
pub struct DnError {
    text: String,
    why: &'static str,
}

impl Dn {
    /// Parses a DN. Empty text is the empty DN (the root).
    ///
    /// # Errors
    /// When a component lacks `=`, ends in a lone `\`, or there are more than 256 components.
    pub fn parse(text: &str) -> Result<Self, DnError> {
        let error = |why| DnError { text: text.chars().take(200).collect(), why };
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let mut rdns = Vec::new();
        let (mut start, mut escaped) = (0, false);
        for (at, c) in text.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                ',' | ';' => {
                    rdns.push(rdn(text.get(start..at).unwrap_or_default()).map_err(error)?);
                    start = at + 1;
                }
                _ => {}
            }
            if rdns.len() >= COMPONENTS_MAX {
                return Err(error("it has more than 256 components"));
            }
        }
        if escaped {
            return Err(error("it ends in a lone backslash"));
        }
        rdns.push(rdn(text.get(start..).unwrap_or_default()).map_err(error)?);
        Ok(Self(rdns))
    }

    /// The object's own component, and the text of all others, of what may be a DN; `None` where there is only one.
    /// For names of which many lie in one container: whether the rest is a DN is not looked at.
    #[must_use]
    pub fn split_first(text: &str) -> Option<(Rdn, &str)> {
        let mut escaped = false;
        let at = text.bytes().position(|byte| {
            let ends = !escaped && matches!(byte, b',' | b';');
            escaped = !escaped && byte == b'\\';
            ends
        })?;
        Some((rdn(text.get(..at)?).ok()?, text.get(at + 1..)?))
    }

    /// The components, the object's own first.
    #[must_use]
    pub fn rdns(&self) -> &[Rdn] {
        &self.0
    }

    /// Whether this is the empty DN.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The object's own RDN.
    #[must_use]
    pub fn rdn(&self) -> Option<&Rdn> {
        self.0.first()
    }

    /// The container's DN.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_first().map(|(_, rest)| Self(rest.to_vec()))
    }

    /// Whether this DN is `base` or lies below it.
    #[must_use]
    pub fn is_within(&self, base: &Self) -> bool {
        self.0.len() >= base.0.len()
            && self.0.iter().rev().zip(base.0.iter().rev()).all(|(a, b)| a.normalised() == b.normalised())
    }

    /// The form in which DNs are compared.
    #[must_use]
    pub fn normalised(&self) -> String {
        self.0.iter().map(Rdn::normalised).collect::<Vec<_>>().join(",")
    }

    /// The hash of the normalised form.
    #[must_use]
    pub fn hash(&self) -> Hash128 {
        hash128(&[self.normalised().as_bytes()])
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rdn) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(&rdn.0)?;
        }
        Ok(())
    }
}

fn rdn(text: &str) -> Result<Rdn, &'static str> {
    // A trailing escaped space belongs to the value.
    let trimmed_start = text.trim_start();
    let mut end = trimmed_start.trim_end().len();
    let backslashes = trimmed_start
        .as_bytes()
        .get(..end)
        .unwrap_or_default()
        .iter()
        .rev()
        .take_while(|&&b| b == b'\\')
        .count();
    if backslashes % 2 == 1 && end < trimmed_start.len() {
        end += 1;
    }
    let text = trimmed_start.get(..end).unwrap_or_default();
    match text.find('=') {
        None => Err("a component has no `=`"),
        Some(0) => Err("a component has no attribute name"),
        Some(_) => Ok(Rdn(text.to_owned())),
    }
}

/// The domain that a name lies in: its `DC=` components, e.g. `DC=contoso,DC=com`; empty where it has none.
#[must_use]
pub fn domain_part(dn: &str) -> &str {
    let is_dc = |text: &str| text.trim_start().get(..3).is_some_and(|head| head.eq_ignore_ascii_case("dc="));
    let mut start = dn.len();
    loop {
        let before = dn.get(..start).unwrap_or_default();
        let head = before.strip_suffix(',').unwrap_or(before);
        // A comma behind a backslash belongs to a value.
        let comma = head.rfind(',').filter(|&at| !head.get(..at).unwrap_or_default().ends_with('\\'));
        let from = comma.map_or(0, |at| at + 1);
        if !is_dc(head.get(from..).unwrap_or_default()) {
            return dn.get(start..).unwrap_or_default().trim_start();
        }
        start = from;
        if start == 0 {
            return dn;
        }
    }
}

/// The DNS name of the domain that a name lies in, e.g. `contoso.com`; empty where it has no `DC=` components.
#[must_use]
pub fn domain_fqdn(dn: &str) -> String {
    let labels = domain_part(dn).split(',').filter_map(|rdn| rdn.split_once('='));
    let labels: Vec<&str> = labels.map(|(_, label)| label.trim()).collect();
    labels.join(".")
}

/// The form in which RDNs are compared: attribute names and values in lower case, escapes resolved and written
/// one way, spaces around `=` and `+` dropped, the parts of a multi-valued RDN in order.
#[must_use]
pub fn normalise_rdn(text: &str) -> String {
    if is_plain(text.as_bytes()) {
        return text.to_ascii_lowercase();
    }
    let mut parts: Vec<String> = split_unescaped(text, '+')
        .into_iter()
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = unescape(value);
            let mut out = fold_case(name.trim()).into_owned();
            out.push('=');
            for c in fold_case(&value).chars() {
                if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
                    out.push('\\');
                }
                out.push(c);
            }
            out
        })
        .collect();
    parts.sort();
    parts.join("+")
}

/// Whether nothing but case can differ from the form for comparing: most names are so.
fn is_plain(text: &[u8]) -> bool {
    let mut values = 0;
    let mut before = b' ';
    for &byte in text {
        match byte {
            b'=' if before == b' ' => return false,
            b'=' => values += 1,
            b' ' if before == b'=' => return false,
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => return false,
            _ if byte.is_ascii_graphic() || byte == b' ' => {}
            _ => return false,
        }
        before = byte;
    }
    values == 1 && before != b' ' && !text.starts_with(b" ")
}

fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let (mut out, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == separator => {
                out.push(text.get(start..at).unwrap_or_default());
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    out.push(text.get(start..).unwrap_or_default());
    out
}

/// Resolves RFC 4514 escapes of one attribute value: `\,` and `\2C`. Bytes that are no UTF-8 become U+FFFD.
fn unescape(value: &str) -> String {
    let bytes = value.trim_start().as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut kept = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            if byte != b' ' {
                kept = out.len();
            }
            continue;
        }
        let pair = bytes
            .get(at..at + 2)
            .and_then(|p| str::from_utf8(p).ok())
            .and_then(|p| u8::from_str_radix(p, 16).ok());
        match (pair, bytes.get(at)) {
            (Some(code), _) => {
                out.push(code);
                at += 2;
            }
            (None, Some(&next)) => {
                out.push(next);
                at += 1;
            }
            (None, None) => {}
        }
        kept = out.len();
    }
    out.truncate(kept); // unescaped trailing spaces do not belong to the value
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        Dn::parse(a).unwrap().normalised() == Dn::parse(b).unwrap().normalised()
    }

    #[test]
    fn the_domain_is_what_the_name_ends_with() {
        for (dn, part, fqdn) in [
            ("CN=Ann,OU=Sales,DC=contoso,DC=com", "DC=contoso,DC=com", "contoso.com"),
            ("cn=a, ou=b, dc=emea, dc=contoso, dc=test", "dc=emea, dc=contoso, dc=test", "emea.contoso.test"),
            ("CN=a\\,DC=x,DC=contoso,DC=com", "DC=contoso,DC=com", "contoso.com"),
            ("DC=com", "DC=com", "com"),
            ("cn=admin,o=example", "", ""),
            ("", "", ""),
        ] {
            assert_eq!((domain_part(dn), domain_fqdn(dn).as_str()), (part, fqdn), "{dn}");
        }
    }

    #[test]
    fn the_short_way_to_the_compared_form_gives_the_same() {
        for plain in ["CN=Anna Maria", "OU=x", "cn=#1", "DC=de", "CN=a:b/c"] {
            assert!(is_plain(plain.as_bytes()), "{plain}");
            // A part more, which is taken off again, leads through the long way.
            let long = normalise_rdn(&format!("{plain}+ZZ=1"));
            assert_eq!(Some(normalise_rdn(plain).as_str()), long.strip_suffix("+zz=1"));
        }
        for other in ["CN= a", "CN =a", " CN=a", "CN=a ", "CN=a\\,b", "CN=a=b", "CN=\u{e4}", "CN", "CN=a+B=c"]
        {
            assert!(!is_plain(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn the_first_component_is_split_off() {
        let split = |text| Dn::split_first(text).map(|(own, rest)| (own.as_str().to_owned(), rest));
        assert_eq!(split("CN=a\\,b,OU=x,DC=y"), Some(("CN=a\\,b".to_owned(), "OU=x,DC=y")));
        assert_eq!(split("CN=a\\\\;OU=x"), Some(("CN=a\\\\".to_owned(), "OU=x")));
        assert_eq!(split("CN=a"), None);
        assert_eq!(split("a,OU=x"), None);
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        assert!(same(
            "CN=Meier\\, Anna,OU=People,DC=contoso,DC=test",
            "cn=Meier\\2C Anna , ou = people,dc=CONTOSO,dc=test"
        ));
        assert!(same("CN=\\C3\\84rger,DC=x", "cn=\u{e4}rger,dc=x"));
        assert!(same("UID=1+CN=a,DC=x", "cn=A + uid=1,DC=X"));
        assert!(same("CN=ends in space\\ ,DC=x", "CN=ends in space\\20,DC=x"));
        assert!(!same("CN=a\\ ,DC=x", "CN=a,DC=x"));
        assert!(!same("CN=a,DC=x", "CN=a,DC=y"));
    }

    #[test]
    fn a_name_is_within_its_containers() {
        let dn = Dn::parse("CN=a,OU=b,DC=c").unwrap();
        assert!(dn.is_within(&Dn::parse("ou=B,dc=c").unwrap()));
        assert!(dn.is_within(&dn));
        assert!(!dn.is_within(&Dn::parse("OU=b,DC=c,DC=d").unwrap()));
        assert_eq!(dn.parent().unwrap().to_string(), "OU=b,DC=c");
        assert!(Dn::parse("").unwrap().is_root());
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["no equals", "=x", "CN=a,", "CN=a\\"] {
            assert!(Dn::parse(bad).is_err(), "{bad}");
        }
        assert!(Dn::parse(&"OU=x,".repeat(400)).is_err());
    }
}
