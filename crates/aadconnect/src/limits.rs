//! Limits: far above any export that was seen, far below what would hurt.

/// Bytes of one file. The connector file of a forest with Exchange has 1.8 million.
pub const FILE_BYTES_MAX: usize = 64 << 20;
/// Files of one export. The known ones have 65.
pub const FILES_MAX: usize = 10_000;
/// Bytes of all files of one export.
pub const EXPORT_BYTES_MAX: usize = 256 << 20;
/// Mistakes that are told; whoever gave the wrong file does not want a line for each of its lines.
pub(crate) const MISTAKES_MAX: usize = 20;
/// Depth of parentheses in a script.
pub(crate) const DEPTH_MAX: usize = 32;
/// Bytes of one expression, as our rules' own limit.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 10;
