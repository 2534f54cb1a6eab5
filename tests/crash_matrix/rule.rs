//! The crash rule: the conditions for every run, for the world after it, and for the end state on every
//! path.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::aws::file_system::MountTarget;
use recovery_core::aws::instance::{TargetHealth, TargetState};
use recovery_core::fakes::{Databases, FileSystems, StoredItem, World};
use recovery_core::ops_item::Status;

use crate::support::disturbed::Made;
use crate::support::end::is_duplicate;

use super::scenario::Scenario;

/// A call that a run must not make, whatever fails.
pub(super) fn broken_by_run(scenario: &Scenario, made: &[Made]) -> Result<(), String> {
    let mut checked = BTreeSet::new();
    let mut read = BTreeSet::new();
    for (number, call) in made.iter().enumerate() {
        if call.answered {
            read.insert(call.operation);
        }
        // A setting is read before it is made, and again before the same call is repeated.
        if let Some(reads) = read_before(call.operation)
            && !read.remove(reads)
        {
            return Err(format!(
                "{} was called without {reads} before it",
                call.operation
            ));
        }
        match call.operation {
            "ec2:DescribeVolumes" if call.answered => {
                checked.extend(call.subject.split(' '));
            }
            // AttachVolume has no client token: the volume must be read before each attempt.
            "ec2:AttachVolume" if !checked.remove(call.subject.as_str()) => {
                return Err(format!(
                    "{} was attached without a check after the previous attempt",
                    call.subject
                ));
            }
            // CreateDBInstance has no client token either.
            "rds:CreateDBInstance" => {
                let before = made[..number].iter().rev();
                let since = before
                    .take_while(|it| it.operation != call.operation || it.subject != call.subject);
                let checked = since
                    .filter(|it| it.operation == "rds:DescribeDBInstances" && it.answered)
                    .count();
                if checked == 0 {
                    return Err(format!(
                        "{} was created without a check after the previous attempt",
                        call.subject
                    ));
                }
            }
            "sns:Publish" if scenario.function.tracks() => {
                notified_after_tracking(&call.subject, &made[..number])?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The call that shows whether this change of a table is needed.
fn read_before(change: &str) -> Option<&'static str> {
    match change {
        "dynamodb:UpdateTable" => Some("dynamodb:DescribeTable"),
        "dynamodb:UpdateContinuousBackups" => Some("dynamodb:DescribeContinuousBackups"),
        "dynamodb:UpdateTimeToLive" => Some("dynamodb:DescribeTimeToLive"),
        "dynamodb:TagResource" => Some("dynamodb:ListTagsOfResource"),
        _ => None,
    }
}

/// A notification names an existing OpsItem, unless creating one failed.
fn notified_after_tracking(message: &str, before: &[Made]) -> Result<(), String> {
    let claims: Vec<&Made> = before
        .iter()
        .filter(|call| call.operation.contains("OpsItem"))
        .collect();
    if claims.is_empty() {
        return Err("a notification was sent before the OpsItem was created".to_owned());
    }
    if claims.iter().all(|call| call.answered) && !message.contains("OpsItem: oi-") {
        return Err(format!(
            "the notification does not name the existing OpsItem:\n{message}"
        ));
    }
    Ok(())
}

/// A false statement of an OpsItem of this world that the world before does not have.
pub(super) fn broken_by_claim(world: &World, before: &World) -> Result<(), String> {
    let resolved_before: BTreeSet<String> = before
        .state()
        .items
        .iter()
        .filter(|stored| stored.item.status == Status::Resolved)
        .map(|stored| stored.item.id.to_string())
        .collect();
    let state = world.state();
    for stored in state.items.iter().filter(|item| !is_duplicate(item)) {
        let data = |key: &str| stored.item.data.get(key).map(String::as_str);
        let claim = |what: &str| Err(format!("{} {what}", described(stored)));
        let attached = state.volumes.values().any(|volume| {
            volume.attachments.iter().any(|attachment| {
                Some(volume.id.as_str()) == data("recovery:volume")
                    && Some(attachment.instance.as_str()) == data("recovery:instance")
                    && Some(attachment.device.as_str()) == data("recovery:device")
            })
        });
        if data("recovery:integration") == Some("attached") && !attached {
            return claim("says that its volume is attached, but it is not");
        }
        let started = |record: &str| {
            state
                .mounts
                .executions
                .iter()
                .any(|(token, _)| record.ends_with(&format!(" {token} execution-{token}")))
        };
        for key in ["recovery:mount-execution", "recovery:directory-execution"] {
            if data(key).is_some_and(|record| !started(record)) {
                return claim("names an execution that was not started");
            }
        }
        let mount = data("recovery:mount");
        if mount == Some("mounted") && state.mounts.executions.is_empty() {
            return claim("says that it is mounted, but nothing mounted it");
        }
        if mount.is_some_and(|mount| mount != "mounted")
            && stored.item.status == Status::Resolved
            && !resolved_before.contains(stored.item.id.as_str())
        {
            return claim("is resolved, but what it restored is not mounted");
        }
        let configured = state
            .tables
            .values()
            .any(|table| Some(table.table.id.as_str()) == data("recovery:table-id"));
        if data("recovery:integration") == Some("configured") && !configured {
            return claim("says that its table is configured, but the table does not exist");
        }
        let endpoint = data("recovery:endpoint");
        let address = data("recovery:address").unwrap_or_default();
        let reached = is_reached(&state.databases, endpoint.unwrap_or_default())
            || answers(&state.file_systems, address);
        let serves = data("recovery:restored-instance").is_some_and(|id| {
            let id = recovery_core::aws::arn::InstanceId::new(id);
            let is_healthy = |health: &TargetHealth| health.state == TargetState::Healthy;
            let mut targets = state.servers.targets.iter();
            state.servers.servers.contains_key(&id)
                && targets.all(|((_, target), health)| *target != id || is_healthy(health))
        });
        if data("recovery:integration") == Some("integrated") && !(reached || serves) {
            return claim("says that it is integrated, but nothing answers there");
        }
        let kept = data("recovery:restored-bucket")
            .is_some_and(|bucket| state.buckets.contains_key(bucket));
        if data("recovery:integration") == Some("complete") && !kept {
            return claim("says that its bucket is complete, but the bucket does not exist");
        }
        let integrates = stored.key.as_str().starts_with("restore-job/");
        if integrates
            && stored.item.status == Status::Resolved
            && !(attached || configured || reached || kept || serves)
            && !resolved_before.contains(stored.item.id.as_str())
        {
            return claim("is resolved, but what it restored is not integrated");
        }
        if let Some(execution) = data("recovery:runbook-execution")
            && !state
                .executions
                .keys()
                .any(|token| format!("execution-{token}") == execution)
        {
            return claim("names an execution that was not started");
        }
        let told: BTreeSet<&str> = state
            .notifications
            .iter()
            .map(|told| told.message.as_str())
            .collect();
        // The notification names the page of the report.
        if let Some(report) = data("recovery:report-told")
            && let page = report.replace(".json", ".html")
            && !told.iter().any(|message| message.contains(&page))
        {
            return claim("records a notification of a report that was not sent");
        }
        match data("recovery:notified") {
            None | Some("none") => {}
            Some(why) if data("recovery:kind").is_none_or(|kind| kind != "incident") => {
                let job = stored.key.as_str().replace("restore-job/", "Restore job: ");
                let why = if why == "failing" { &job } else { why };
                if !told.iter().any(|message| message.contains(why)) {
                    return claim("records a notification that was not sent");
                }
            }
            Some(messages) => {
                if told.len() < messages.split(' ').count() {
                    return claim("records more notifications than were sent");
                }
            }
        }
    }
    Ok(())
}

/// Whether a database answers at this endpoint: an instance, or a cluster with an available instance.
fn is_reached(databases: &Databases, endpoint: &str) -> bool {
    let is = |at: &Option<(String, u16)>| {
        at.as_ref()
            .is_some_and(|(host, port)| format!("{host}:{port}") == endpoint)
    };
    databases
        .instances
        .values()
        .any(|instance| is(&instance.endpoint) && instance.status.is_reachable())
        || databases.clusters.values().any(|cluster| {
            is(&cluster.endpoint)
                && databases.instances.values().any(|instance| {
                    instance.cluster.as_ref() == Some(&cluster.id) && instance.status.is_reachable()
                })
        })
}

/// Whether a file system answers at this address: the mount targets of one of EFS, or the name of one of FSx.
fn answers(file_systems: &FileSystems, address: &str) -> bool {
    let of_efs = |targets: &Vec<MountTarget>| {
        let is_listed = |part: &str| {
            targets.iter().any(|target| {
                let at = target.address.as_deref().unwrap_or_default();
                target.state.is_usable() && part == format!("{}={at}", target.zone)
            })
        };
        !address.is_empty() && address.split(' ').all(is_listed)
    };
    file_systems.mount_targets.values().any(of_efs)
        || file_systems.fsx.values().any(|file_system| {
            file_system.state.is_usable() && file_system.dns_name.as_deref() == Some(address)
        })
        || file_systems.volumes.values().any(|volume| {
            let path = volume.junction_path.as_deref().unwrap_or_default();
            volume.state.is_usable() && address.ends_with(&format!(":{path}"))
        })
}

fn described(stored: &StoredItem) -> String {
    format!("{} ({}, {:?})", stored.item.id, stored.key, stored.title)
}

/// The largest number of OpsItems of one key that were created at the same time as another one and
/// resolved as its duplicates.
pub(super) fn duplicates(world: &World) -> usize {
    let state = world.state();
    let mut of_keys = BTreeMap::new();
    for stored in state.items.iter().filter(|item| is_duplicate(item)) {
        *of_keys.entry(stored.key.clone()).or_default() += 1;
    }
    of_keys.into_values().max().unwrap_or(0)
}

/// Whether the call only reads.
pub(super) fn is_read_only(operation: &str) -> bool {
    operation.split_once(':').is_some_and(|(_, verb)| {
        ["Describe", "Get", "List"]
            .iter()
            .any(|look| verb.starts_with(look))
    })
}
