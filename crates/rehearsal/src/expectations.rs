//! The expectations at the end of the story.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::arguments::Broken;
use crate::bucket_expectations::{buckets_held, drilled_buckets_held};
use crate::file_system_expectations::{
    drilled_file_systems_held, file_systems_held, is_mounted_where, is_reported_mounted,
};
use crate::guest_mounts::{mounted_how, mounts_of};
use crate::observations::{Execution, Item, Played, Restore};
use crate::server_expectations::{drilled_servers_held, servers_held};
use crate::store_expectations::{drilled_stores_held, stores_held};

/// An expectation, and what was found.
#[derive(Debug)]
pub(crate) struct Expectation {
    /// The expectation as a sentence.
    pub(crate) what: String,
    pub(crate) held: bool,
    /// What was found instead, or in addition.
    pub(crate) found: String,
}

/// Checks all expectations.
pub(crate) fn check(played: &Played) -> Vec<Expectation> {
    let mut expectations = Vec::new();
    let mut expect = |what: &str, held: bool, found: String| {
        expectations.push(Expectation {
            what: what.to_owned(),
            held,
            found,
        });
    };
    plan_held(played, &mut expect);
    recovery_held(played, &mut expect);
    if let Some(stopped) = &played.stopped {
        stop_held(played, stopped, &mut expect);
    }
    stores_held(played, &mut expect);
    file_systems_held(played, &mut expect);
    buckets_held(played, &mut expect);
    servers_held(played, &mut expect);
    drill_held(played, &mut expect);
    drilled_stores_held(played, &mut expect);
    drilled_file_systems_held(played, &mut expect);
    drilled_buckets_held(played, &mut expect);
    drilled_servers_held(played, &mut expect);
    return_held(played, &mut expect);
    for restore in played.restores.iter().chain([&played.second]) {
        let times = attachments_of(played, restore);
        expect(
            &format!("the {} is attached once to its instance", restore.name),
            times == 1 && is_home(restore),
            match &restore.attached {
                Some((instance, device)) => format!(
                    "{} on {instance} as {device}, attached {times} time(s)",
                    restore.volume
                ),
                None => format!("{} is not attached", restore.volume),
            },
        );
    }
    for restore in &played.restores {
        if let Some(path) = restore.mount {
            mount_held(played, restore, path, &mut expect);
        }
    }
    let volumes = played.restores.iter().chain([&played.second]);
    let volumes = volumes.map(|restore| (restore.name.as_str(), &restore.job));
    // A new stream leaves something to do (docs/workload.md).
    let (tables, stores): (Vec<_>, Vec<_>) = played
        .stores
        .iter()
        .chain([&played.unnoticed])
        .partition(|restored| restored.addresses.contains_key("stream-arn"));
    let stores = stores
        .iter()
        .map(|restored| (restored.store.name, &restored.job));
    let file_systems = played.file_systems.iter();
    let file_systems = file_systems.map(|restored| (restored.file_system.name, &restored.job));
    let others = [
        ("bucket", &played.assets.job),
        (played.appliance.server.name, &played.appliance.job),
    ];
    for (name, job) in volumes.chain(stores).chain(file_systems).chain(others) {
        let items = items(played, &format!("restore-job/{job}"));
        expect(
            &format!("the restore of the {name} has one resolved OpsItem"),
            // If responses are lost, a second one may be created; it does not stay open
            // (docs/limits.md).
            statuses(&items) == ["Resolved"]
                || played.adversity.faults.is_some()
                    && !items.is_empty()
                    && items.iter().all(|item| item.status == "Resolved"),
            described(&items),
        );
    }
    for restored in &tables {
        let items = items(played, &format!("restore-job/{}", restored.job));
        expect(
            &format!(
                "the OpsItem of the table {} is open, because consumers read its old stream",
                restored.store.name
            ),
            statuses(&items) == ["Open"]
                || played.adversity.faults.is_some()
                    && items.iter().any(|item| item.status == "Open"),
            described(&items),
        );
    }
    let misplaced = &played.misplaced;
    expect(
        "the volume restored into the wrong zone is not attached",
        misplaced.attached.is_none() && attachments_of(played, misplaced) == 0,
        misplaced.volume.clone(),
    );
    let items_of_misplaced = items(played, &format!("restore-job/{}", misplaced.job));
    expect(
        "its OpsItem is open and names the reason",
        statuses(&items_of_misplaced) == ["Open"]
            && items_of_misplaced
                .iter()
                .all(|item| item.title.contains("zone-mismatch")),
        described(&items_of_misplaced),
    );
    expect(
        "the volume of a restore test is not attached",
        !played.test_volumes.is_empty()
            && played
                .test_volumes
                .iter()
                .all(|(_, attached)| attached.is_none()),
        format!("{:?}", played.test_volumes),
    );
    for (what, part) in [
        ("duplicate Health events for S3 share", "AWS_S3"),
        (
            "Health events for several services share",
            "AWS_MULTIPLE_SERVICES",
        ),
        (
            "duplicate alarms for missing heartbeats share",
            "primary-region-silent",
        ),
        ("duplicate composite alarms share", "signals-agree"),
    ] {
        let items: Vec<&Item> = incidents(played)
            .filter(|item| item.key.contains(part))
            .collect();
        expect(
            &format!("{what} one open OpsItem"),
            statuses(&items) == ["Open"],
            described(&items),
        );
    }
    let alone: Vec<&str> = incidents(played)
        .filter(|item| item.related.len() != 3)
        .map(|item| item.title.as_str())
        .collect();
    expect(
        "the four incidents are related to each other",
        alone.is_empty() && incidents(played).count() == 4,
        if alone.is_empty() {
            "all do".to_owned()
        } else {
            format!("not: {}", alone.join("; "))
        },
    );
    let disturbed = played.adversity.faults.is_some() || played.adversity.broken.is_some();
    let subjects: Vec<&str> = played
        .of_kind("message")
        .filter_map(|message| message["subject"].as_str())
        .collect();
    let messages = if disturbed {
        // A repeated notification is allowed. Systems Manager requests each approval once.
        let is_approval = |subject: &&&str| subject.starts_with("Approval");
        let others: BTreeSet<&&str> = subjects.iter().filter(|s| !is_approval(s)).collect();
        subjects.iter().filter(is_approval).count() + others.len()
    } else {
        subjects.len()
    };
    let reports = 2 + usize::from(played.stopped.is_some());
    // Of the volume in the wrong zone, of the partial restore by hand, and of the cluster without instances or the volume
    // that is not mounted. A bucket of the plan that stays incomplete has the subject of the one by hand.
    let refused = [Some(Broken::Cluster), Some(Broken::Mount)];
    let refusals = 2 + usize::from(refused.contains(&played.adversity.broken));
    // With the clean-up of the drill, which leaves a bucket.
    let expected = 8 + refusals + reports;
    expect(
        &format!(
            "{expected} notifications are sent: four incidents, three approval requests, {refusals} refusals, {reports} reports, one clean-up"
        ),
        messages == expected,
        format!("{messages}: {}", subjects.join("; ")),
    );
    let asked: Vec<(&str, &str)> = executions(&played.asked);
    let waiting = |part: &str| {
        asked
            .iter()
            .filter(|(incident, status)| incident.contains(part) && *status == "Waiting")
            .count()
    };
    expect(
        "the recovery runbook requests approval once for each incident that may start a recovery",
        asked.len() == 3
            && ["AWS_S3", "AWS_MULTIPLE_SERVICES", "signals-agree"]
                .iter()
                .all(|part| waiting(part) == 1),
        format!("{asked:?}"),
    );
    let decided: Vec<&str> = executions(&played.executions)
        .into_iter()
        .map(|(_, status)| status)
        .collect();
    // The runbook waits for the first end of the recovery.
    let approved = if played.stopped.is_some() {
        "Failed"
    } else {
        "Success"
    };
    expect(
        "the approved execution continues, the denied ones do not",
        decided == [approved, "Rejected", "Rejected"],
        format!("{decided:?}"),
    );
    expect(
        "a function invoked by hand reports that the restore is already integrated",
        played.by_hand["outcome"] == "already-integrated",
        played.by_hand.to_string(),
    );
    if played.adversity.unplugged {
        let (within, found) = integrated_by_the_schedule(played);
        expect(
            "without events, the next scheduled run attaches each volume",
            within,
            found,
        );
    }
    if played.adversity.faults.is_some() {
        let met = played
            .of_kind("call")
            .filter(|call| !call["fault"].is_null())
            .count();
        let kinds: BTreeSet<&str> = played
            .of_kind("call")
            .filter_map(|call| call["fault"].as_str())
            .collect();
        expect(
            "faults of at least five kinds were injected",
            kinds.len() >= 5,
            format!("{met} calls: {kinds:?}"),
        );
    }
    if disturbed {
        return expectations;
    }
    let refused: Vec<String> = played
        .of_kind("call")
        .filter(|call| {
            // Expected errors: another run has created the OpsItem, parameter, instance, mount target or access
            // point, attached the volume, taken the device name or made the setting; a stack, a report or a
            // resource with the wanted name does not exist yet, or a command on an instance; a plan is already
            // stored; DynamoDB needs a pause between two changes, and RDS makes one at a time.
            let known: &[&str] = match call["operation"].as_str() {
                Some("CreateOpsItem") => &["OpsItemAlreadyExistsException"],
                Some("AttachVolume") => &["InvalidParameterValue", "VolumeInUse"],
                Some("DescribeStackResource" | "DescribeStacks") => &["ValidationError"],
                Some("GetObject") => &["NoSuchKey"],
                Some("DescribeDBInstances") => &["DBInstanceNotFound"],
                Some("DescribeDBClusters") => &["DBClusterNotFoundFault"],
                Some("DescribeTable") => &["ResourceNotFoundException"],
                Some("PutParameter") => &["ParameterAlreadyExists"],
                Some("CreateDBInstance") => &["DBInstanceAlreadyExists"],
                Some("CreateMountTarget") => &["MountTargetConflict"],
                Some("CreateAccessPoint") => &["AccessPointAlreadyExists"],
                Some("GetCommandInvocation") => &["InvocationDoesNotExist"],
                Some("ModifyDBInstance" | "ModifyDBCluster") => {
                    &["InvalidDBInstanceState", "InvalidDBClusterStateFault"]
                }
                Some("TagResource") => &["LimitExceededException"],
                Some("UpdateTable") => &["ValidationException", "ResourceInUseException"],
                Some("UpdateTimeToLive") => &["ValidationException"],
                Some("UpdateContinuousBackups") => &["ContinuousBackupsUnavailableException"],
                Some("PutObject") => &["PreconditionFailed"],
                Some("GetRoutingControlState" | "UpdateRoutingControlStates") => {
                    &["EndpointTemporarilyUnavailableException"]
                }
                _ => &[],
            };
            let code = call["errorCode"].as_str();
            call["caller"] != "operator" && code.is_some_and(|code| !known.contains(&code))
        })
        .map(|call| {
            format!(
                "{} {} {}",
                call["caller"], call["operation"], call["errorCode"]
            )
        })
        .collect();
    expect(
        "every call of every function and runbook was allowed by its role and succeeded",
        refused.is_empty(),
        if refused.is_empty() {
            "no call failed".to_owned()
        } else {
            refused.join("; ")
        },
    );
    let failed: Vec<String> = played
        .of_kind("invocation")
        .filter(|invocation| !invocation["error"].is_null())
        .chain(played.of_kind("dead-letter"))
        .map(Value::to_string)
        .collect();
    expect(
        "no function failed and no event was lost",
        failed.is_empty(),
        if failed.is_empty() {
            "no error, no dead letter".to_owned()
        } else {
            failed.join("; ")
        },
    );
    expectations
}

/// Whether the reconciler attached the volume restored by hand before its second scheduled run after the
/// restore; and what was found. The state machine integrates its own restores.
fn integrated_by_the_schedule(played: &Played) -> (bool, String) {
    let reconciler = played.functions.get("RestoreReconcilerFunction");
    let restore = &played.second;
    let seq = |kind: &str, holds: &dyn Fn(&Value) -> bool| {
        let entry = played.of_kind(kind).find(|entry| holds(entry));
        entry.and_then(|entry| entry["seq"].as_u64())
    };
    let completed = seq("restore-job", &|entry| {
        entry["restoreJobId"] == restore.job.as_str() && entry["status"] == "COMPLETED"
    });
    let attached = seq("volume-attached", &|entry| {
        entry["volumeId"] == restore.volume.as_str()
    });
    let (Some(completed), Some(attached)) = (completed, attached) else {
        return (false, format!("{} is not attached", restore.volume));
    };
    let between = |entry: &&Value| {
        entry["seq"]
            .as_u64()
            .is_some_and(|seq| (completed..attached).contains(&seq))
    };
    let came = played
        .of_kind("event")
        .filter(between)
        .filter(|event| event["detailType"] == "Scheduled Event")
        .count();
    // The journal has a call when it ends, an attachment when it begins.
    let caller = played
        .of_kind("call")
        .filter(|call| call["operation"] == "AttachVolume")
        .find(|call| call["seq"].as_u64() > Some(completed))
        .and_then(|call| call["caller"].as_str());
    // A run that began before the end of the restore may have found it, too.
    let held = came <= 1 && caller == reconciler.map(String::as_str);
    (
        held,
        format!("{} after {came} time(s), by {caller:?}", restore.volume),
    )
}

/// The plan before the disaster.
fn plan_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let first = &played.planned.first;
    expect(
        "the plan contains every resource and is stored with its hash",
        first["outcome"] == "planned"
            && first["summary"]["items"] == played.planned_items()
            && first["planHash"]
                .as_str()
                .is_some_and(|hash| hash.len() == 64),
        first.to_string().chars().take(300).collect(),
    );
    let untagged = played.planned.untagged.as_str();
    let notes: Vec<&str> = first["notes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    expect(
        "a volume whose newest recovery point has no tags is planned with that point and noted",
        notes.len() == 1
            && notes[0].contains(untagged)
            && notes[0].contains("has no usable tags")
            && played
                .restores
                .iter()
                .any(|restore| restore.recovery_point == untagged),
        notes.join("; "),
    );
    let rivals = &played.planned.rivals;
    let refusals: Vec<&Value> = rivals
        .pointer("/plan/refusals")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    let names_the_other = |one: &Value, other: &Value| {
        let why = one["why"].as_str().unwrap_or_default();
        other["resourceArn"]
            .as_str()
            .is_some_and(|arn| why.contains(arn))
    };
    expect(
        "two volumes that claim one device are both refused, and each refusal names the other",
        rivals["summary"]["items"] == 0
            && rivals["summary"]["refusalsByReason"]["device-claimed-twice"] == 2
            && matches!(refusals[..], [a, b] if names_the_other(a, b) && names_the_other(b, a)),
        rivals.to_string().chars().take(600).collect(),
    );
    let changed = &played.planned.changed;
    expect(
        "a plan that changed with the next backup is refused, and the change is named",
        changed["outcome"] == "refused"
            && changed["reason"] == "plan-changed"
            && changed["changes"]["count"] == 1,
        changed.to_string().chars().take(300).collect(),
    );
}

/// The result of the recovery.
fn recovery_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let recovery = &played.recovery;
    expect(
        "one approval starts one recovery, which succeeds",
        played.recoveries == 1 && recovery.status == "SUCCEEDED",
        format!(
            "{} execution(s); {} {}",
            played.recoveries,
            recovery.status,
            recovery.cause.as_deref().unwrap_or_default()
        ),
    );
    expect(
        "the same recovery cannot be started twice",
        played.started_again == "ExecutionAlreadyExists",
        played.started_again.clone(),
    );
    expect(
        "the report is complete: everything is restored within RTO and RPO",
        recovery.said("/complete") == true
            && recovery.said("/mode") == "recover"
            && recovery.said("/totals/integrated") == played.planned_items()
            && recovery.said("/rto/met") == true
            && recovery.said("/rpo/met") == true,
        format!(
            "complete {}, totals {}, RTO {}, RPO {}",
            recovery.said("/complete"),
            recovery.said("/totals"),
            recovery.said("/rto"),
            recovery.said("/rpo")
        ),
    );
    let noted = recovery
        .said("/items")
        .as_array()
        .into_iter()
        .flatten()
        .filter(|item| !item["note"].is_null());
    expect(
        "the report notes the volume whose recovery point had no tags",
        noted.clone().count() == 1
            && noted
                .clone()
                .all(|item| item["recoveryPointArn"] == played.planned.untagged.as_str()),
        format!("{} note(s)", noted.count()),
    );
    expect(
        "no recovery point is restored twice, although idempotency tokens expire before a redrive",
        played.restored_again.is_empty(),
        format!(
            "{} recovery points; not once: {:?}",
            played.planned_items(),
            played.restored_again
        ),
    );
    let wrong = recovery.disagreements(&played.journal);
    expect(
        "the numbers of the report match the Region's journal",
        wrong.is_empty(),
        if wrong.is_empty() {
            "no difference".to_owned()
        } else {
            wrong.join("; ")
        },
    );
    let calls = played
        .of_kind("call")
        .filter(|call| call["operation"] == "UpdateRoutingControlStates" && call["status"] == 200)
        .count();
    expect(
        "traffic fails over with four of five endpoints unavailable; a drill moves no traffic",
        played.routing.recovery.1 == "On"
            && played.routing.primary.1 == "Off"
            && (calls == 1 || calls > 1 && played.adversity.faults.is_some()),
        format!("{:?}, set {calls} time(s)", played.routing),
    );
    let phases: Vec<&str> = recovery
        .said("/phases")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|phase| phase["phase"].as_str())
        .collect();
    expect(
        "the report has the phases from detection to fail over",
        [
            "detect",
            "decide",
            "plan",
            "infrastructure",
            "restore",
            "integrate",
            "verify",
            "fail-over",
        ]
        .iter()
        .all(|phase| phases.contains(phase)),
        format!("{phases:?}"),
    );
    expect(
        "the page of the report is self-contained",
        recovery.page.as_ref().is_some_and(|page| {
            page.contains("<svg") && !page.contains("src=\"http") && !page.contains("href=\"http")
        }),
        format!("{} bytes", recovery.page.as_ref().map_or(0, String::len)),
    );
    // Each redrive adds to it.
    let most = 120 * usize::try_from(recovery.redrives + 1).unwrap_or(1);
    expect(
        "the execution history does not grow with the number of resources",
        (1..=most).contains(&recovery.events),
        format!(
            "{} events for {} resources",
            recovery.events,
            played.planned_items()
        ),
    );
}

/// The state while the recovery was stopped.
fn stop_held(
    played: &Played,
    stopped: &crate::observations::Stopped,
    expect: &mut impl FnMut(&str, bool, String),
) {
    let crate::observations::Stopped {
        recovery: stopped,
        routing,
    } = stopped;
    let cause = stopped.cause.as_deref().unwrap_or_default();
    expect(
        "the broken step stops the recovery, whose cause names the redrive",
        stopped.status == "FAILED" && cause.contains("redrive"),
        format!("{} {cause}", stopped.status),
    );
    let notified: Vec<&Value> = played
        .of_kind("message")
        .filter(|message| {
            message["message"].as_str().is_some_and(|text| {
                text.contains("redrive-execution") && text.contains(&stopped.arn)
            })
        })
        .collect();
    expect(
        "a notification names the command that redrives the recovery",
        !notified.is_empty(),
        format!("{} message(s)", notified.len()),
    );
    let reports = played.adversity.broken != Some(Broken::Report);
    expect(
        "the report of the stopped recovery names the problem, unless the report itself was broken",
        if reports {
            stopped.said("/complete") == false
                && stopped
                    .said("/problems/0/why")
                    .as_str()
                    .is_some_and(|why| !why.is_empty())
        } else {
            stopped.report.is_none()
        },
        stopped
            .said("/problems")
            .to_string()
            .chars()
            .take(500)
            .collect(),
    );
    // One quota of RDS counts the instances of all its clusters.
    let broken_items = match played.adversity.broken {
        Some(Broken::Restore | Broken::Table) => Some(("restore-failed", 1)),
        Some(Broken::Database) => Some(("name-taken", 1)),
        Some(Broken::Cluster) => Some(("instance-quota", 3)),
        Some(Broken::Bucket) => Some(("restore-partial", 1)),
        Some(Broken::Mount) => Some(("mount-refused", 1)),
        _ => None,
    };
    if let Some((reason, count)) = broken_items {
        let problems = stopped.said("/problems").as_array();
        let reasons: Vec<&str> = problems
            .into_iter()
            .flatten()
            .filter_map(|problem| problem["reason"].as_str())
            .collect();
        expect(
            "what depends on the broken step is not recovered, for the reason that the report names; all else is",
            reasons == vec![reason; count] && stopped.said("/totals/unfinished") == count,
            format!("{reasons:?}, {}", stopped.said("/totals")),
        );
    }
    // If only the report is broken, everything is recovered.
    let moved = if reports { "Off" } else { "On" };
    expect(
        "traffic does not fail over to an incomplete recovery",
        routing.recovery.1 == moved,
        format!("{routing:?}"),
    );
    expect(
        "fixed and redriven, the recovery succeeds",
        played.recovery.redrives == 1 && played.recovery.status == "SUCCEEDED",
        format!(
            "{} after {} redrive(s)",
            played.recovery.status, played.recovery.redrives
        ),
    );
}

/// The result of the drill.
fn drill_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let drill = &played.drill;
    let recovery = &drill.recovery;
    expect(
        "the drill succeeds, and its report says that it was a drill",
        recovery.status == "SUCCEEDED"
            && recovery.said("/mode") == "drill"
            && recovery.said("/complete") == true
            && recovery.said("/totals/integrated") == played.planned_items(),
        format!(
            "{} {}; {} {}",
            recovery.status,
            recovery.cause.as_deref().unwrap_or_default(),
            recovery.said("/mode"),
            recovery.said("/totals")
        ),
    );
    expect(
        "the clean-up of the drill leaves neither a stack nor a volume",
        drill.clean_up == "SUCCEEDED" && drill.volumes_left == 0 && !drill.stack_left,
        format!(
            "{}, {} volume(s), stack {}",
            drill.clean_up,
            drill.volumes_left,
            if drill.stack_left { "left" } else { "deleted" }
        ),
    );
    let volumes: BTreeSet<&str> = recovery
        .said("/items")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item["volumeId"].as_str())
        .collect();
    let real: BTreeSet<&str> = played
        .restores
        .iter()
        .chain([&played.second])
        .map(|restore| restore.instance.as_str())
        .collect();
    let astray: Vec<String> = played
        .of_kind("volume-attached")
        .filter(|entry| {
            let of = |name: &str| entry[name].as_str().unwrap_or_default();
            volumes.contains(of("volumeId")) && real.contains(of("instanceId"))
        })
        .map(Value::to_string)
        .collect();
    expect(
        "no volume of the drill was ever attached to an instance of the workload",
        !volumes.is_empty() && astray.is_empty(),
        if astray.is_empty() {
            format!("{} volumes", volumes.len())
        } else {
            astray.join("; ")
        },
    );
}

/// The volume is mounted once in the guest of its instance.
fn mount_held(
    played: &Played,
    restore: &Restore,
    path: &str,
    expect: &mut impl FnMut(&str, bool, String),
) {
    let mounted = mounts_of(played, &restore.volume);
    let server = [restore.instance.clone()].into();
    let snapshot = restore.recovery_point.rsplit('/').next();
    expect(
        &format!(
            "the {} is mounted once in its instance, and has the files of its recovery point",
            restore.name
        ),
        mounted.len() == 1
            && is_mounted_where(
                played,
                &restore.volume,
                &server,
                path,
                snapshot.unwrap_or_default(),
            ),
        match mounted.as_slice() {
            [] => format!("{} is not mounted", restore.volume),
            runs => runs
                .iter()
                .map(|run| mounted_how(run))
                .collect::<Vec<_>>()
                .join("; "),
        },
    );
    let (is_told, found) = is_reported_mounted(played, &restore.job, path, &server, "ext4");
    expect(
        &format!("the report shows where the {} is mounted", restore.name),
        is_told,
        found,
    );
}

/// The plans after the primary Region has returned.
fn return_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let returned = &played.returned;
    let reasons = |plan: &Value| plan["summary"]["refusalsByReason"].clone();
    expect(
        "backups of the primary Region after a recovery are refused",
        returned.plan["outcome"] == "planned"
            && returned.plan["summary"]["items"] == played.planned_items() - 1
            && reasons(&returned.plan)["newer-than-recovery"] == 1,
        returned.plan["summary"].to_string(),
    );
    expect(
        "they are planned when the request says that the workload runs in the primary Region again",
        returned.failed_back["outcome"] == "planned"
            && returned.failed_back["summary"]["items"] == played.planned_items()
            && reasons(&returned.failed_back)["newer-than-recovery"].is_null(),
        returned.failed_back["summary"].to_string(),
    );
}

/// The OpsItems of incidents.
fn incidents(played: &Played) -> impl Iterator<Item = &Item> {
    played.items.iter().filter(|item| {
        ["health-event/", "alarm/"]
            .iter()
            .any(|kind| item.key.starts_with(kind))
    })
}

/// Executions as incident and status.
fn executions(executions: &[Execution]) -> Vec<(&str, &str)> {
    executions
        .iter()
        .map(|execution| (execution.incident.as_str(), execution.status.as_str()))
        .collect()
}

fn is_home(restore: &Restore) -> bool {
    restore.attached.as_ref().is_some_and(|(instance, device)| {
        *instance == restore.instance && restore.device.is_none_or(|wanted| wanted == device)
    })
}

fn attachments_of(played: &Played, restore: &Restore) -> usize {
    played
        .of_kind("volume-attached")
        .filter(|entry| entry["volumeId"] == restore.volume.as_str())
        .count()
}

fn items<'a>(played: &'a Played, key: &str) -> Vec<&'a Item> {
    played.items.iter().filter(|item| item.key == key).collect()
}

fn statuses<'a>(items: &[&'a Item]) -> Vec<&'a str> {
    items.iter().map(|item| item.status.as_str()).collect()
}

fn described(items: &[&Item]) -> String {
    if items.is_empty() {
        return "no OpsItem".to_owned();
    }
    items
        .iter()
        .map(|item| format!("{} {}: {}", item.id, item.status, item.title))
        .collect::<Vec<_>>()
        .join("; ")
}

impl Played {
    /// The number of resources in the plan.
    fn planned_items(&self) -> usize {
        // With the bucket and the instance.
        self.restores.len() + self.stores.len() + self.file_systems.len() + 2
    }

    /// The entries of the journal of one kind.
    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.journal
            .iter()
            .filter(move |entry| entry["kind"] == kind)
    }
}
