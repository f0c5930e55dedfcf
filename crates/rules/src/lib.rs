//! onesync-rules
