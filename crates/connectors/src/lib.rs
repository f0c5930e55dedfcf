//! onesync-connectors
