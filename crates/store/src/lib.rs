//! onesync-store
