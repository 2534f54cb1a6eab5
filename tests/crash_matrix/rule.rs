//! The crash rule: what must hold of every run, of every world that a run leaves behind, and of the
//! end, however it was come to.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::fakes::{StoredItem, World};
use recovery_core::ops_item::Status;

use crate::support::disturbed::Made;
use crate::support::end::is_duplicate;

use super::scenario::Scenario;

/// What a run did that it must not do, whatever it met on its way.
pub(super) fn broken_by_run(scenario: &Scenario, made: &[Made]) -> Result<(), String> {
    let mut looked_at = BTreeSet::new();
    for (number, call) in made.iter().enumerate() {
        match call.operation {
            "ec2:DescribeVolumes" if call.answered => {
                looked_at.extend(call.subject.split(' '));
            }
            // AttachVolume takes no client token: each needs a look of its own before it.
            "ec2:AttachVolume" if !looked_at.remove(call.subject.as_str()) => {
                return Err(format!(
                    "{} was attached blindly: no look at it since the attempt before",
                    call.subject
                ));
            }
            "sns:Publish" if scenario.function.tracks() => {
                told_after_the_claim(&call.subject, &made[..number])?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// People are told of an OpsItem that there is, unless it was tried to make one and that failed.
fn told_after_the_claim(message: &str, before: &[Made]) -> Result<(), String> {
    let claims: Vec<&Made> = before
        .iter()
        .filter(|call| call.operation.contains("OpsItem"))
        .collect();
    if claims.is_empty() {
        return Err("people were told before an OpsItem was claimed".to_owned());
    }
    if claims.iter().all(|call| call.answered) && !message.contains("OpsItem: oi-") {
        return Err(format!(
            "people were told nothing of the OpsItem, though there is one:\n{message}"
        ));
    }
    Ok(())
}

/// What the OpsItems of this world claim and is not so, other than they did in the world before.
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
            return claim("says that its volume is attached, and it is not");
        }
        let integrates = stored.key.as_str().starts_with("restore-job/");
        if integrates
            && stored.item.status == Status::Resolved
            && !attached
            && !resolved_before.contains(stored.item.id.as_str())
        {
            return claim("is resolved, and its volume is not attached");
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
        // The message names the page beside the report.
        if let Some(report) = data("recovery:report-told")
            && let page = report.replace(".json", ".html")
            && !told.iter().any(|message| message.contains(&page))
        {
            return claim("says that people were told of a report, and they were not");
        }
        match data("recovery:notified") {
            None | Some("none") => {}
            Some(why) if data("recovery:kind").is_none_or(|kind| kind != "incident") => {
                let job = stored.key.as_str().replace("restore-job/", "Restore job: ");
                let why = if why == "failing" { &job } else { why };
                if !told.iter().any(|message| message.contains(why)) {
                    return claim("says that people were told, and they were not");
                }
            }
            Some(messages) => {
                if told.len() < messages.split(' ').count() {
                    return claim("says that people were told more than they were");
                }
            }
        }
    }
    Ok(())
}

fn described(stored: &StoredItem) -> String {
    format!("{} ({}, {:?})", stored.item.id, stored.key, stored.title)
}

/// How many items of one key, at most, were made at the same moment as another one, and resolved in
/// its favour.
pub(super) fn duplicates(world: &World) -> usize {
    let state = world.state();
    let mut of_keys = BTreeMap::new();
    for stored in state.items.iter().filter(|item| is_duplicate(item)) {
        *of_keys.entry(stored.key.clone()).or_default() += 1;
    }
    of_keys.into_values().max().unwrap_or(0)
}

/// Whether the call leaves everything as it is.
pub(super) fn only_looks(operation: &str) -> bool {
    operation.split_once(':').is_some_and(|(_, verb)| {
        ["Describe", "Get", "List"]
            .iter()
            .any(|look| verb.starts_with(look))
    })
}
