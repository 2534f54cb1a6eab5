//! What the deciding code knows of AWS resources.

pub mod arn;
pub mod backup;
