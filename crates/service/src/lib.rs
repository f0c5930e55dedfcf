//! onesync-service
