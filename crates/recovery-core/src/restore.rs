//! Starts planned restores and validates restore tests.

pub mod run;
pub mod run_test_validation;
