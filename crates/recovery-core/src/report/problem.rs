//! What is left of a recovery.

use serde::{Deserialize, Serialize};

/// Something that keeps the recovery from being complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The step that failed or is left: plan, infrastructure, start, restore, integrate, verify or
    /// fail-over.
    pub step: String,
    /// The resource, stack or function concerned.
    pub subject: String,
    /// The reason code, in kebab case.
    pub reason: String,
    /// What was found.
    pub why: String,
    /// What fixes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
}
