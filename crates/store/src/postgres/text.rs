//! Texts as this database takes them: it refuses the character NUL, which a directory's value may well hold.
//!
//! NUL is written as two characters U+0001 U+0001, and U+0001, to be told from it, as U+0001 U+0002. Read back it is the
//! same text, and the order byte by byte is the same. Nearly no text has either, and is written as it is.

use std::borrow::Cow;

/// A text to be written, or compared with what is there.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte <= 1) {
        true => Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}")),
        false => Cow::Borrowed(text),
    }
}

/// A text that was written so.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte == 1) {
        true => Cow::Owned(text.replace("\u{1}\u{1}", "\0").replace("\u{1}\u{2}", "\u{1}")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        "[\u{0}\u{1}\u{2}\u{3}a\u{fc}]{0,8}"
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_keeps_its_place(a in text(), b in text()) {
            let (x, y) = (escaped(&a), escaped(&b));
            prop_assert!(!x.contains('\0'));
            prop_assert_eq!(unescaped(&x), a.as_str());
            prop_assert_eq!(x.cmp(&y), a.as_str().cmp(b.as_str()));
        }
    }
}
