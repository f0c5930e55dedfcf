//! onesync-graphsim
