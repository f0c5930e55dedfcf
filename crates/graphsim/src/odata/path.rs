//! Paths and query strings of OData requests.
//!
//! One path has several spellings: `users/delta`, `users/delta()`, `users/microsoft.graph.delta()`;
//! `users/{upn}`, `users('id')`, `users(userPrincipalName='x')`. They are read into one form here.

/// Longest path in segments: the deepest route has six.
const SEGMENTS_MAX: usize = 12;

/// One path segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seg {
    /// Name without key or parentheses, percent-decoded.
    pub(crate) name: String,
    /// A key in parentheses: its property (empty for the plain key) and value.
    pub(crate) key: Option<(String, String)>,
}

/// Splits the part of a path after the version into segments; none when it is hopeless.
pub(crate) fn segments(path: &str) -> Option<Vec<Seg>> {
    let mut out = Vec::new();
    for part in split_outside_quotes(path) {
        if part.is_empty() {
            continue;
        }
        if out.len() >= SEGMENTS_MAX {
            return None;
        }
        out.push(segment(&decode(part, false))?);
    }
    Some(out)
}

/// A quoted key may hold a slash, encoded or not.
fn split_outside_quotes(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in path.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '/' if !quoted => {
                parts.push(path.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if quoted {
        // An odd quote belongs to a plain key such as o'brien@contoso.com.
        return path.split('/').collect();
    }
    parts.push(path.get(start..).unwrap_or_default());
    parts
}

fn segment(text: &str) -> Option<Seg> {
    let Some(open) = text.find('(').filter(|_| text.ends_with(')')) else {
        return Some(Seg { name: strip_namespace(text), key: None });
    };
    let name = strip_namespace(text.get(..open)?);
    let inside = text.get(open + 1..text.len() - 1)?;
    if inside.is_empty() {
        return Some(Seg { name, key: None });
    }
    let key = match inside.split_once('=') {
        Some((property, value)) if !property.contains('\'') => {
            (property.trim().to_owned(), unquote(value.trim())?)
        }
        _ => (String::new(), unquote(inside)?),
    };
    Some(Seg { name, key: Some(key) })
}

/// Functions may be written with their namespace; casts keep it, they are told apart by it.
fn strip_namespace(text: &str) -> String {
    for function in ["microsoft.graph.", "graph."] {
        if let Some(rest) = text.strip_prefix(function)
            && matches!(rest, "delta" | "restore" | "getByIds" | "checkMemberGroups" | "getMemberGroups")
        {
            return rest.to_owned();
        }
    }
    text.to_owned()
}

fn unquote(text: &str) -> Option<String> {
    match text.strip_prefix('\'') {
        Some(rest) => rest.strip_suffix('\'').map(|t| t.replace("''", "'")),
        None => Some(text.to_owned()),
    }
}

/// The query options of a request, decoded, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Query(pairs.collect())
    }

    /// An option by name; system options may come without their `$`, as the service allows.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let same = |n: &str| {
            n.eq_ignore_ascii_case(name) || name.strip_prefix('$').is_some_and(|s| n.eq_ignore_ascii_case(s))
        };
        self.0.iter().find(|(n, _)| same(n)).map(|(_, v)| v.as_str())
    }
}

/// Percent-decoding; `+` is a space only in a query.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (*first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                if let (Some(high), Some(low)) = (digit(high), digit(low)) {
                    bytes.push(high * 16 + low);
                    rest = after;
                } else {
                    bytes.push(b'%');
                }
            }
            (b'+', _) if plus => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes a query value.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b',' | b'$') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<String> {
        segments(path).unwrap().into_iter().map(|s| s.name).collect()
    }

    #[test]
    fn the_three_spellings_of_delta_are_one() {
        for path in
            ["users/delta", "users/delta()", "users/microsoft.graph.delta()", "/users/microsoft.graph.delta"]
        {
            assert_eq!(names(path), ["users", "delta"], "{path}");
        }
    }

    #[test]
    fn keys_are_unquoted() {
        let seg = |p: &str| segments(p).unwrap().remove(0);
        let key = |property: &str, value: &str| Some((property.to_owned(), value.to_owned()));
        assert_eq!(
            seg("users(userPrincipalName='o''b%23x@c.com')").key,
            key("userPrincipalName", "o'b#x@c.com")
        );
        assert_eq!(seg("groups(uniqueName='a/b')/members").key, key("uniqueName", "a/b"));
        assert_eq!(seg("users('x')").key, key("", "x"));
        assert_eq!(names("users/o'brien@contoso.com/manager/$ref").len(), 4);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("$filter=a%20eq+'b%2Bc'&top=5");
        assert_eq!(query.get("$filter"), Some("a eq 'b+c'"));
        assert_eq!(query.get("$top"), Some("5"));
        assert_eq!(encode("a b/c"), "a%20b%2Fc");
    }
}
