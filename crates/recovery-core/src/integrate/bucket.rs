//! Restored S3 buckets: checks that no object is missing, and publishes the name.

pub mod kind;
mod record;
pub mod refusal;
pub mod run;
