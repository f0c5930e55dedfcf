//! onesync-model
