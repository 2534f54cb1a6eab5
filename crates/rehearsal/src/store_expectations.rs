//! The expectations of databases and tables.

use serde_json::Value;

use crate::observations::{Played, RestoredStore};
use crate::stores::arn_in;
use crate::workload::{REGION, StoreKind, WORKLOAD};

/// What was integrated, and how.
pub(crate) fn stores_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    for restored in played.stores.iter().chain([&played.unnoticed]) {
        let (noun, name) = (restored.store.kind.noun(), restored.store.name);
        let what = match restored.store.kind {
            StoreKind::Database => "is in the network of the stack, with its settings",
            StoreKind::Cluster | StoreKind::DocumentDb | StoreKind::Neptune => {
                "is in the network of the stack, with its instances and its settings"
            }
            StoreKind::Table => "has its items and the settings that its tags name",
        };
        expect(
            &format!("the {noun} {name} {what}"),
            restored.state == restored.expected,
            format!("{}, expected {}", restored.state, restored.expected),
        );
        expect(
            &format!("the addresses of the {noun} {name} are published"),
            !restored.addresses.is_empty() && restored.published == restored.addresses,
            format!(
                "{:?}, expected {:?}",
                restored.published, restored.addresses
            ),
        );
    }
    let noticed: Vec<&Value> = events_of(played, &played.unnoticed)
        .filter(|event| {
            let rules = event["rules"].as_array().into_iter().flatten();
            rules
                .filter_map(Value::as_str)
                .any(|rule| rule.contains("RestoreCompletedTableRule"))
        })
        .collect();
    expect(
        "the schedule integrates the table whose event was lost",
        noticed.is_empty() && played.unnoticed.state == played.unnoticed.expected,
        format!("{} event(s) reached a function", noticed.len()),
    );
    let adversity = played.adversity;
    if adversity.faults.is_none() && adversity.broken.is_none() {
        let (held, found) = starts_before_the_stack_is_complete(played);
        expect(
            "the restore of the database starts when its network exists, before the stack is complete",
            held,
            found,
        );
    }
    let items = played.recovery.said("/items").as_array();
    let untold: Vec<&str> = played
        .stores
        .iter()
        .filter(|restored| !is_reported(restored, items))
        .map(|restored| restored.store.name)
        .collect();
    let page = played.recovery.page.as_deref().unwrap_or_default();
    expect(
        "the report and its page name each database and table, with its endpoint",
        untold.is_empty() && played.stores.iter().all(|it| page.contains(it.store.name)),
        format!("not: {untold:?}"),
    );
}

/// What drills made of databases and tables, and what they left.
pub(crate) fn drilled_stores_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let drill = &played.drill;
    let made: Vec<&str> = drill
        .recovery
        .said("/items")
        .as_array()
        .into_iter()
        .flatten()
        .filter(|item| {
            !["EFS", "FSx", "S3", "EC2"]
                .iter()
                .any(|other| item["type"] == *other)
        })
        .filter_map(|item| item["restoredArn"].as_str())
        .collect();
    let own = |arn: &&&str| arn.ends_with(&format!("-{}", drill.recovery.name));
    expect(
        "the databases and tables of the drill have its name, and its clean-up deletes them",
        made.len() == played.stores.len()
            && made.iter().filter(own).count() == made.len()
            && made.iter().all(|arn| was_deleted(played, arn)),
        format!("{made:?}"),
    );
    let touched: Vec<String> = played
        .stores
        .iter()
        .map(|restored| arn_in(REGION, restored.store.kind, restored.store.name))
        .filter(|arn| was_deleted(played, arn))
        .collect();
    expect(
        "the clean-up of the drill deletes no database and no table of the workload",
        touched.is_empty(),
        touched.join("; "),
    );
    let deletions = played
        .of_kind("call")
        .filter(|call| call["operation"] == "DeleteParameters" && call["status"] == 200)
        .count();
    expect(
        "the clean-up of the drill leaves no database, table or parameter with its name",
        drill.stores_left.is_empty() && deletions > 0,
        format!(
            "{:?}, after {deletions} deletion(s) of parameters",
            drill.stores_left
        ),
    );
}

fn events_of<'a>(
    played: &'a Played,
    restored: &'a RestoredStore,
) -> impl Iterator<Item = &'a Value> {
    played.of_kind("event").filter(|event| {
        event["detail"]["restoreJobId"] == restored.job.as_str()
            && event["detail"]["status"] == "COMPLETED"
    })
}

/// Whether the restore job of the database began before the stack was complete; and when. That of the cluster waits: its
/// subnet group is the only one of the complete stack.
fn starts_before_the_stack_is_complete(played: &Played) -> (bool, String) {
    let seq = |entry: &Value| entry["seq"].as_u64();
    let complete = played
        .of_kind("stack")
        .find(|entry| {
            entry["type"] == "AWS::CloudFormation::Stack"
                && entry["logicalId"] == WORKLOAD
                && entry["status"] == "CREATE_COMPLETE"
        })
        .and_then(seq);
    let database = played
        .stores
        .iter()
        .find(|restored| restored.store.kind == StoreKind::Database);
    let began = database.and_then(|restored| {
        let is_own = |entry: &&Value| entry["restoreJobId"] == restored.job.as_str();
        played.of_kind("restore-job").find(is_own).and_then(seq)
    });
    (
        began.is_some() && began < complete,
        format!("began at entry {began:?} of the journal, complete at {complete:?}"),
    )
}

/// Whether the report shows the resource as integrated, with the ARN that was restored and its endpoint.
fn is_reported(restored: &RestoredStore, items: Option<&Vec<Value>>) -> bool {
    let endpoint = restored
        .addresses
        .get("endpoint")
        .zip(restored.addresses.get("port"))
        .map(|(host, port)| format!("{host}:{port}"));
    items.into_iter().flatten().any(|item| {
        item["jobId"] == restored.job.as_str()
            && item["integrated"] == true
            && item["restoredArn"].as_str() == restored.addresses.get("arn").map(String::as_str)
            && item["endpoint"].as_str() == endpoint.as_deref()
    })
}

/// Whether a database, table or file system was deleted during the rehearsal, except before the recovery was redriven.
pub(crate) fn was_deleted(played: &Played, arn: &str) -> bool {
    let redriven = played
        .of_kind("state-machine")
        .find(|entry| entry["redriveCount"].as_u64() > Some(0))
        .and_then(|entry| entry["seq"].as_u64());
    played.of_kind("status").any(|entry| {
        entry["resource"] == arn
            && entry["seq"].as_u64() > redriven
            && ["deleting", "DELETING"]
                .iter()
                .any(|status| entry["status"] == *status)
    })
}
