//! What the tests and the benchmark share. Nothing of it is deployed.

pub mod answers;
pub mod http;
pub mod runtime_api;
