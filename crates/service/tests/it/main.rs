//! Stories: a directory, the simulated cloud, and the service between them.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod aadconnect;
mod anchor;
mod backup;
mod chosen;
mod coming;
mod contact;
mod copies;
mod crash;
mod database;
mod forests;
mod identity;
mod imported;
mod insight;
mod membership;
mod moving;
mod office;
mod pilot;
mod planned;
mod postgres;
mod profile;
mod protection;
mod random;
mod samba;
mod secrets;
mod sqlserver;
mod staged;
mod standing;
mod stops;
mod story;
mod time;
mod told;
mod trouble;
mod upkeep;
mod values;
mod world;
