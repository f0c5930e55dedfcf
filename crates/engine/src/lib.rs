//! onesync-engine
