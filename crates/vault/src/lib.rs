//! onesync-vault
