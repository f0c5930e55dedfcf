//! onesync-expr
