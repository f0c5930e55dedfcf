//! Texts as this database takes them: spaces at the end do not count where it compares two, and JSON as it reads it does
//! not hold the character NUL, which a directory's value may well hold.
//!
//! A text that ends in a space is written with U+0001 U+0001 after it, NUL as U+0001 U+0002, and U+0001, to be told from
//! these, as U+0001 U+0003. Read back it is the same text, and the order byte by byte is the same. Nearly no text has any
//! of these, and is written as it is.

use std::borrow::Cow;

/// A text to be written, or compared with what is there.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.ends_with(' ') && text.bytes().all(|byte| byte > 1) {
        return Cow::Borrowed(text);
    }
    let mut out = text.replace('\u{1}', "\u{1}\u{3}").replace('\0', "\u{1}\u{2}");
    if out.ends_with(' ') {
        out.push_str("\u{1}\u{1}");
    }
    Cow::Owned(out)
}

/// A text that was written so.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte != 1) {
        return Cow::Borrowed(text);
    }
    let text = text.strip_suffix("\u{1}\u{1}").unwrap_or(text);
    Cow::Owned(text.replace("\u{1}\u{2}", "\0").replace("\u{1}\u{3}", "\u{1}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        "[\u{0}\u{1}\u{2}\u{3} a\u{fc}]{0,8}"
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_keeps_its_place(a in text(), b in text()) {
            let (x, y) = (escaped(&a), escaped(&b));
            prop_assert!(!x.contains('\0') && !x.ends_with(' '));
            prop_assert_eq!(unescaped(&x), a.as_str());
            prop_assert_eq!(x.cmp(&y), a.as_str().cmp(b.as_str()));
        }
    }
}
