//! Talk to people on standard error, which may be closed, full, or end early (`2>&1 | head`): that ends nothing, least of all
//! a daemon or a cycle in the middle of its work.

use std::io::Write as _;

/// As the standard library's macro of this name, in whose place it stands in this program, but it never panics.
macro_rules! eprintln {
    ($($argument:tt)*) => { $crate::talk::line(format_args!($($argument)*)) };
}

/// See [`eprintln!`].
pub fn line(text: std::fmt::Arguments<'_>) {
    // Nobody is left who could be told that nobody is told.
    let _unheard = writeln!(std::io::stderr().lock(), "{text}");
}
