//! What the OpsItem of a restore job says about the integration of its instance.

use chrono::{DateTime, Utc};

use crate::aws::arn::{InstanceId, OpsItemId};
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::instance::Server;
use crate::integrate::instance::kind::{ADDRESS, IDENTIFIER, INSTANCE, REGISTERED};
use crate::integrate::publish::{Publication, replaced_note};
use crate::integrate::record::{IntegrationResult, LEFT, result_change, shown_left};
use crate::ops_item::{DATA_LIMIT, INTEGRATION, OpsItem, OpsItemChange, Status, says};
use crate::outcome::Outcome;
use crate::text::{code, within};

/// What a backup of an instance does not contain.
const LOST: &str = "user data (the image has what they did at its first start), the key pair, the instance profile without `RestoredInstanceRoleArns`, the termination protection, placement and capacity reservation, further network interfaces, elastic IP addresses, IPv6 addresses (new ones are not published), names in DNS, the membership in a domain, alarms";

/// An instance that serves.
pub(super) struct Serving<'a> {
    pub(super) server: &'a Server,
    /// The target groups that it is registered with.
    pub(super) groups: Vec<String>,
    pub(super) publication: Option<&'a Publication>,
    /// The parameters that this run replaced.
    pub(super) replaced: &'a [String],
    /// What a person must still do, as sentences.
    pub(super) left: Vec<String>,
}

/// Where the workload reaches it.
pub(super) fn address(server: &Server) -> &str {
    server.private_address.as_deref().unwrap_or("-")
}

/// The values to publish, by the last part of the names of their parameters.
pub(super) fn values(server: &Server, arn: &str) -> Vec<(&'static str, String)> {
    let optional = [
        ("private-ip", &server.private_address),
        ("private-dns-name", &server.private_name),
        ("public-ip", &server.public_address),
        ("public-dns-name", &server.public_name),
    ];
    [("id", server.id.to_string()), ("arn", arn.to_owned())]
        .into_iter()
        .chain(optional.into_iter().filter_map(|(name, value)| {
            value
                .clone()
                .filter(|value| !value.is_empty())
                .map(|value| (name, value))
        }))
        .collect()
}

/// The target groups, as operational data.
fn shown_groups(groups: &[String]) -> String {
    match groups {
        [] => "none".to_owned(),
        groups => within(&groups.join(" "), DATA_LIMIT),
    }
}

fn records(item: &OpsItem, server: &Server, groups: &[String]) -> bool {
    says(item, INTEGRATION, INSTANCE.integrated)
        && says(item, IDENTIFIER, server.id.as_str())
        && says(item, ADDRESS, address(server))
        && says(item, REGISTERED, &shown_groups(groups))
}

/// Whether the item records that this instance is integrated with these target groups, and nothing is left to do.
pub(super) fn records_all(item: &OpsItem, server: &Server, groups: &[String]) -> bool {
    item.status == Status::Resolved && records(item, server, groups)
}

/// Whether the item records that this instance was a target of the group when it was integrated.
pub(super) fn records_target(item: &OpsItem, id: &InstanceId, group: &str) -> bool {
    let recorded = item.data.get(REGISTERED).map_or("", String::as_str);
    says(item, IDENTIFIER, id.as_str()) && recorded.split(' ').any(|it| it == group)
}

/// The answer of the function. `item` is the id of the job's OpsItem, if it has one.
pub(super) fn answer(
    outcome: Outcome,
    server: &Server,
    job: &RestoreJob,
    item: Option<&OpsItemId>,
) -> Outcome {
    outcome
        .with("restoreJobId", job.id.as_str())
        .with("instanceId", server.id.as_str())
        .with("address", address(server))
        .with_item(item)
}

impl Serving<'_> {
    /// Whether the item records this result.
    pub(super) fn is_recorded(&self, item: &OpsItem) -> bool {
        records(item, self.server, &self.groups) && says(item, LEFT, &shown_left(&self.left))
    }

    /// The change that records the result in the job's item, of which `item` is known.
    pub(super) fn change(
        &self,
        restore: &Restore,
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let id = self.server.id.as_str();
        let registered = match self.groups.as_slice() {
            [] => "It is registered with no target group.".to_owned(),
            groups => format!("It is registered with {}.", code(&groups.join(" "))),
        };
        let published = match self.publication {
            Some(publication) => format!(
                "Its addresses are published below {}.",
                code(publication.path())
            ),
            None => "Its addresses are not published in parameters.".to_owned(),
        };
        let notes = [registered, published]
            .into_iter()
            .chain(replaced_note(item, self.replaced))
            .chain([format!(
                "A backup does not contain everything. Check: {LOST}."
            )])
            .collect();
        let result = IntegrationResult {
            continues: None,
            title: format!("Restored instance {id} integrated"),
            done: format!(
                "The instance {} is running, and has the address {}",
                code(id),
                code(address(self.server))
            ),
            notes,
            left: self.left.clone(),
            data: vec![
                (IDENTIFIER, id.to_owned()),
                (ADDRESS, address(self.server).to_owned()),
                (REGISTERED, shown_groups(&self.groups)),
                (LEFT, shown_left(&self.left)),
            ],
        };
        result_change(&INSTANCE, restore, result, now)
    }
}
