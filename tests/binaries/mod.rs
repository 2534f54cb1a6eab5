//! The programs themselves, as Lambda runs them: built, started with an environment and nothing
//! else, and fed by a Runtime API on loopback.

mod answers;
mod build;
mod lambda;
mod log_level;
