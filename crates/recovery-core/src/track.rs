//! Keeps one OpsItem for each restore, copy and backup job.

pub mod run;
