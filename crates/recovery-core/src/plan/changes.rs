//! The differences between the approved plan and the current one.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::item::Item;
use crate::plan::recovery_plan::Plan;

/// The difference in one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The protected resource.
    pub resource_arn: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What changed: `recovery-point`, `type`, `wave`, `target`, `tags-from`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<&'static str>,
}

/// The differences, ordered by the ARNs of the resources.
pub fn changes(before: &Plan, after: &Plan) -> Vec<Change> {
    fn by_resource(plan: &Plan) -> BTreeMap<&str, &Item> {
        plan.items()
            .map(|item| (item.resource_arn.as_str(), item))
            .collect()
    }
    let (before, after) = (by_resource(before), by_resource(after));
    let mut resources: Vec<&str> = before.keys().chain(after.keys()).copied().collect();
    resources.sort_unstable();
    resources.dedup();
    resources
        .into_iter()
        .filter_map(|resource| {
            let (change, what) = match (before.get(resource), after.get(resource)) {
                (Some(_), None) => ("removed", Vec::new()),
                (None, Some(_)) => ("added", Vec::new()),
                (Some(before), Some(after)) => {
                    let what = differences(before, after);
                    if what.is_empty() {
                        return None;
                    }
                    ("changed", what)
                }
                (None, None) => return None,
            };
            Some(Change {
                resource_arn: resource.to_owned(),
                change,
                what,
            })
        })
        .collect()
}

/// The differences between two items, in the parts that the plan's hash includes.
fn differences(before: &Item, after: &Item) -> Vec<&'static str> {
    let tags_from = |item: &Item| {
        item.tags_from
            .as_ref()
            .map(|from| from.recovery_point_arn.clone())
    };
    [
        (
            "recovery-point",
            before.recovery_point_arn != after.recovery_point_arn,
        ),
        ("type", before.resource_type != after.resource_type),
        ("wave", before.wave != after.wave),
        ("target", before.target.hashed() != after.target.hashed()),
        ("tags-from", tags_from(before) != tags_from(after)),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect()
}
