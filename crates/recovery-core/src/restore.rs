//! Starts planned restores and validates restore tests.

mod metadata;
mod refusal;
pub mod run;
mod run_place;
pub mod run_test_validation;
