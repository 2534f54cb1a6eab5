//! What the deciding code knows of AWS resources.

pub mod arn;
pub mod auto_scaling;
pub mod backup;
pub mod cloudformation;
pub mod ec2;
pub mod routing_control;
pub mod step_functions;
