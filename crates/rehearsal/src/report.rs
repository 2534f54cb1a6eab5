//! The output of a rehearsal, as text and as JSON.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::expectations::Expectation;
use crate::guest_mounts::mounted_how;
use crate::observations::{Played, Restore};
use crate::problem::Problem;
use crate::setup::Workspace;

/// Seconds from the event of the completed restore to the attachment of the volume.
fn seconds_to_attach(played: &Played, restore: &Restore) -> Option<f64> {
    let time = |kind: &str, holds: &dyn Fn(&Value) -> bool| {
        played
            .of_kind(kind)
            .find(|entry| holds(entry))
            .and_then(|entry| entry["time"].as_f64())
    };
    let completed = time("restore-job", &|entry| {
        entry["restoreJobId"] == restore.job.as_str() && entry["status"] == "COMPLETED"
    })?;
    let attached = time("volume-attached", &|entry| {
        entry["volumeId"] == restore.volume.as_str()
    })?;
    Some(attached - completed)
}

/// One line of the timeline.
struct Moment {
    /// Seconds since the first.
    at: f64,
    who: String,
    what: String,
}

fn timeline(played: &Played) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut start = None;
    for entry in &played.journal {
        let Some((who, what)) = told(played, entry) else {
            continue;
        };
        let time = entry["time"].as_f64().unwrap_or_default();
        let start = *start.get_or_insert(time);
        moments.push(Moment {
            at: time - start,
            who,
            what,
        });
    }
    moments
}

/// Who did what, for the entries that the timeline shows.
fn told(played: &Played, entry: &Value) -> Option<(String, String)> {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let short = |id: &str| id.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
    Some(match entry["kind"].as_str()? {
        "event" => {
            let rules: Vec<String> = entry["rules"]
                .as_array()?
                .iter()
                .filter_map(|rule| rule.as_str())
                .map(rule_name)
                .collect();
            if rules.is_empty() {
                return None;
            }
            (
                "EventBridge".to_owned(),
                format!(
                    "{}{} → {}",
                    subject(played, entry),
                    if came_before(played, entry) {
                        ", again"
                    } else {
                        ""
                    },
                    rules.join(", ")
                ),
            )
        }
        "invocation" => {
            let function = function_name(played, &text("function"));
            let cold = if entry["cold"] == true { "cold, " } else { "" };
            let took = entry["durationMs"].as_f64().unwrap_or_default();
            let answer = match &entry["error"] {
                Value::Null => outcome(&entry["result"]),
                error => format!("FAILED {}: {}", error["errorType"], error["errorMessage"]),
            };
            (function, format!("{answer} ({cold}{took:.0} ms)"))
        }
        "restore-job" => {
            let made = entry["createdResourceArn"].as_str().map(short);
            let name = restored(played, &text("restoreJobId"), &text("recoveryPointArn"));
            let what = match (text("status").as_str(), made) {
                ("RUNNING", _) => format!("restore of the {name} is running"),
                ("COMPLETED", Some(made)) => format!("restore of the {name} completed: {made}"),
                (status @ ("FAILED" | "ABORTED"), _) => {
                    format!("restore of the {name} {status}: {}", text("statusMessage"))
                }
                _ => return None,
            };
            ("AWS Backup".to_owned(), what)
        }
        "volume-attached" => (
            "EC2".to_owned(),
            format!(
                "{} attached to {} as {}",
                text("volumeId"),
                text("instanceId"),
                text("device")
            ),
        ),
        // Without a path, it only finds the directory of a restore.
        "guest" if entry["path"] == "" => (
            "Guest".to_owned(),
            format!("{} in {}", outcome(&entry["result"]), text("source")),
        ),
        "guest" => (
            "Guest".to_owned(),
            format!("{}: {}", outcome(&entry["result"]), mounted_how(entry)),
        ),
        "ops-item" => (
            "OpsCenter".to_owned(),
            format!(
                "{} {} ({}): {}",
                text("opsItemId"),
                text("change"),
                text("status"),
                text("title")
            ),
        ),
        "call" if entry["operation"] == "StartAutomationExecution" && entry["status"] == 200 => {
            ("Automation".to_owned(), "runbook started".to_owned())
        }
        "state-machine" => {
            let redriven = match entry["redriveCount"].as_u64() {
                None | Some(0) => String::new(),
                Some(count) => format!(", redriven {count} time(s)"),
            };
            (
                "Step Functions".to_owned(),
                format!("{}: {}{redriven}", text("name"), text("status")),
            )
        }
        "message" => ("SNS".to_owned(), format!("message: {}", text("subject"))),
        "dead-letter" => ("SQS".to_owned(), format!("DEAD LETTER: {}", text("reason"))),
        _ => return None,
    })
}

/// Whether an earlier event has the same restore job and status.
fn came_before(played: &Played, event: &Value) -> bool {
    let about = |event: &Value| {
        let detail = &event["detail"];
        (detail["restoreJobId"].clone(), detail["status"].clone())
    };
    event["source"] == "aws.backup"
        && played
            .of_kind("event")
            .take_while(|earlier| earlier["seq"] != event["seq"])
            .any(|earlier| earlier["source"] == "aws.backup" && about(earlier) == about(event))
}

/// The subject of an event.
fn subject(played: &Played, event: &Value) -> String {
    let detail = &event["detail"];
    let text = |name: &str| detail[name].as_str().unwrap_or_default();
    match event["source"].as_str() {
        Some("aws.health") => {
            let copy = if text("backupEvent") == "true" {
                " (copy)"
            } else {
                ""
            };
            format!("{} in {}{copy}", text("eventTypeCode"), text("eventRegion"))
        }
        Some("aws.backup") => format!(
            "restore of the {} {}",
            restored(
                played,
                text("restoreJobId"),
                event["resources"][0].as_str().unwrap_or_default()
            ),
            text("status")
        ),
        _ => event["detailType"].as_str().unwrap_or_default().to_owned(),
    }
}

/// The name of what a restore job restored.
fn restored<'a>(played: &'a Played, job: &str, point: &str) -> &'a str {
    let volumes = restores(played).map(|it| (it.name.as_str(), &it.job, &it.recovery_point));
    let stores = played.stores.iter().chain([&played.unnoticed]);
    let stores = stores.map(|it| (it.store.kind.noun(), &it.job, &it.recovery_point));
    let file_systems = played.file_systems.iter();
    let file_systems = file_systems.map(|it| (it.file_system.name, &it.job, &it.recovery_point));
    let (archive, appliance) = (&played.archive, &played.appliance);
    let buckets = [&played.assets, &archive.restored];
    let buckets = buckets.map(|it| (it.bucket.logical_id, &it.job, &it.recovery_point));
    let servers = [(
        appliance.server.name,
        &appliance.job,
        &appliance.recovery_point,
    )];
    let all: Vec<(&str, &String, &String)> = volumes
        .chain(stores)
        .chain(file_systems)
        .chain(buckets)
        .chain(servers)
        .collect();
    let drill = played.drill.recovery.said("/items").as_array();
    let drilled = drill
        .into_iter()
        .flatten()
        .find(|item| item["jobId"] == job);
    match drilled.map(|item| item["type"].as_str()) {
        Some(Some("RDS")) => "drill's database",
        Some(Some("Aurora")) => "drill's cluster",
        Some(Some("DocumentDB")) => "drill's DocumentDB cluster",
        Some(Some("Neptune")) => "drill's Neptune cluster",
        Some(Some("S3")) => "drill's bucket",
        Some(Some("EC2")) => "drill's appliance",
        Some(Some("DynamoDB")) => "drill's table",
        Some(Some("EFS")) => "drill's EFS file system",
        Some(Some("FSx")) => "drill's Lustre file system",
        Some(_) => "drill's volume",
        // For a failed job, only the recovery point is known.
        None => all
            .iter()
            .find(|(_, own, _)| *own == job)
            .or_else(|| all.iter().find(|(_, _, own)| *own == point))
            .map_or("tested volume", |(name, ..)| name),
    }
}

fn outcome(result: &Value) -> String {
    // The journal has the answer as text or as JSON.
    let parsed = result
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let result = parsed.as_ref().unwrap_or(result);
    let word = |name: &str| result[name].as_str();
    match (word("outcome"), word("reason")) {
        (Some(outcome), Some(reason)) => format!("{outcome}: {reason}"),
        (Some(outcome), None) => {
            let counts: Vec<String> = result
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, value)| value.is_number())
                .map(|(name, count)| format!("{count} {name}"))
                .collect();
            match counts.as_slice() {
                [] => outcome.to_owned(),
                counts => format!("{outcome}: {}", counts.join(", ")),
            }
        }
        _ => result.to_string(),
    }
}

/// `rapid-recovery-RestoreCompletedRule-1A2B` → `RestoreCompletedRule`.
fn rule_name(rule: &str) -> String {
    rule.split('-')
        .find(|part| part.ends_with("Rule"))
        .unwrap_or(rule)
        .to_owned()
}

fn function_name(played: &Played, physical: &str) -> String {
    played
        .functions
        .iter()
        .find(|(_, name)| *name == physical)
        .map_or_else(
            || physical.to_owned(),
            |(logical, _)| logical.trim_end_matches("Function").to_owned(),
        )
}

/// The output as text.
pub(crate) fn text(
    played: &Played,
    expectations: &[Expectation],
    pages: &[(&str, PathBuf)],
) -> String {
    let mut out = String::new();
    let line = |out: &mut String, text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    line(&mut out, "\nTimeline\n".to_owned());
    for Moment { at, who, what } in timeline(played) {
        line(&mut out, format!("{at:>8.2} s  {who:<22} {what}"));
    }
    line(
        &mut out,
        "\nFrom the completed restore to the attached volume\n".to_owned(),
    );
    for (restore, state) in measured(played) {
        let seconds = seconds_to_attach(played, restore)
            .map_or("not attached".to_owned(), |seconds| {
                format!("{:.0} ms", seconds * 1000.0)
            });
        line(
            &mut out,
            format!("  {:<36} {state:<5} {seconds:>12}", restore.name),
        );
    }
    line(&mut out, "\nAttachments\n".to_owned());
    for restore in restores(played) {
        let attached = restore
            .attached
            .as_ref()
            .map_or("not attached".to_owned(), |(instance, device)| {
                format!("{instance} {device}")
            });
        line(
            &mut out,
            format!("  {:<36} {} → {attached}", restore.name, restore.volume),
        );
    }
    line(&mut out, "\nMounts\n".to_owned());
    for Mounted { name, path, on, .. } in mounted(played) {
        line(
            &mut out,
            format!("  {name:<36} {path:<16} on {}", on.join(", ")),
        );
    }
    line(&mut out, "\nPublished addresses\n".to_owned());
    let stores = played.stores.iter().chain([&played.unnoticed]);
    let stores = stores.map(|it| (it.store.path, &it.published));
    let file_systems = played.file_systems.iter();
    let file_systems = file_systems.map(|it| (it.file_system.path, &it.published));
    let buckets = [&played.assets, &played.archive.restored];
    let buckets = buckets.map(|it| (it.bucket.path, &it.published));
    let servers = [(played.appliance.server.path, &played.appliance.published)];
    for (path, published) in stores.chain(file_systems).chain(buckets).chain(servers) {
        for (leaf, value) in published {
            let name = format!("{path}/{leaf}");
            line(&mut out, format!("  {name:<40} {value}"));
        }
    }
    line(&mut out, "\nOpsItems\n".to_owned());
    for item in &played.items {
        line(
            &mut out,
            format!(
                "  {:<16} severity {} {:<9} {}",
                item.id, item.severity, item.status, item.title
            ),
        );
    }
    line(&mut out, "\nThe recovery\n".to_owned());
    for phase in played
        .recovery
        .said("/phases")
        .as_array()
        .into_iter()
        .flatten()
    {
        line(
            &mut out,
            format!(
                "  {:<16} {:>6} s",
                phase["phase"].as_str().unwrap_or_default(),
                phase["seconds"]
            ),
        );
    }
    for (what, pointer) in [("achieved RTO", "/rto"), ("achieved RPO", "/rpo")] {
        let result = played.recovery.said(pointer);
        line(
            &mut out,
            format!(
                "  {what:<16} {:>6} s (objective {} s)",
                result["achievedSeconds"], result["objectiveSeconds"]
            ),
        );
    }
    line(&mut out, "\nReports (open them in a browser)\n".to_owned());
    for (name, path) in pages {
        line(&mut out, format!("  {name:<16} {}", path.display()));
    }
    line(&mut out, "\nExpectations\n".to_owned());
    for Expectation { what, held, found } in expectations {
        if *held {
            line(&mut out, format!("  ok     {what}"));
        } else {
            line(
                &mut out,
                format!("  FAILED {what}\n         found: {found}"),
            );
        }
    }
    let failed = expectations
        .iter()
        .filter(|expectation| !expectation.held)
        .count();
    line(
        &mut out,
        match failed {
            0 => format!("\nAll {} expectations were met.", expectations.len()),
            failed => format!(
                "\n{failed} of {} expectations were not met.",
                expectations.len()
            ),
        },
    );
    out
}

/// A volume or file system of the plan, and where it is mounted.
struct Mounted<'a> {
    name: &'a str,
    path: String,
    /// The instances, with what is to be known of the mount.
    on: Vec<String>,
    /// As the guests show it.
    mounts: Value,
}

/// What is mounted in the guests, of the plan.
fn mounted(played: &Played) -> Vec<Mounted<'_>> {
    let volumes = played.restores.iter();
    let volumes = volumes.map(|restore| (restore.name.as_str(), &restore.volume));
    let file_systems = played.file_systems.iter();
    let file_systems = file_systems.map(|it| (it.file_system.name, &it.source));
    let mut all = Vec::new();
    for (name, source) in volumes.chain(file_systems) {
        let mut mounts = serde_json::Map::new();
        for (instance, listed) in played.mounts.as_object().into_iter().flatten() {
            let listed = listed.as_array().into_iter().flatten();
            for mount in listed.filter(|mount| mount["source"] == source.as_str()) {
                mounts.insert(instance.clone(), mount.clone());
            }
        }
        let Some(first) = mounts.values().next() else {
            continue;
        };
        all.push(Mounted {
            name,
            path: first["path"].as_str().unwrap_or_default().to_owned(),
            on: mounts
                .iter()
                .map(|(instance, mount)| match mount["ran"].as_str() {
                    Some("script") => instance.clone(),
                    _ => format!("{instance} (recorded)"),
                })
                .collect(),
            mounts: Value::Object(mounts),
        });
    }
    all
}

fn restores(played: &Played) -> impl Iterator<Item = &Restore> {
    played
        .restores
        .iter()
        .chain([&played.second, &played.misplaced])
}

/// The restores whose time is shown, with the state of the function; at most the first ones.
fn measured(played: &Played) -> Vec<(&Restore, &'static str)> {
    let planned = played.restores.iter().take(2);
    planned
        .map(|restore| (restore, "planned"))
        .chain([(&played.second, "warm")])
        .collect()
}

/// Writes the reports of the recovery and of the drill into files. Returns their paths.
pub(crate) fn write_pages(
    workspace: &Workspace,
    played: &Played,
) -> Result<Vec<(&'static str, PathBuf)>, Problem> {
    let folder = workspace.scratch()?;
    let mut written = Vec::new();
    let stopped = played
        .stopped
        .as_ref()
        .map(|stopped| ("stopped", &stopped.recovery));
    let all = [
        ("recovery", &played.recovery),
        ("drill", &played.drill.recovery),
    ];
    for (name, recovery) in all.into_iter().chain(stopped) {
        let Some(page) = &recovery.page else { continue };
        let path = folder.join(format!("{name}.html"));
        // Rehearsals may write concurrently: a rename makes each page appear completely or not at all.
        let own = folder.join(format!("{name}.{}.html", std::process::id()));
        std::fs::write(&own, page)
            .and_then(|()| std::fs::rename(&own, &path))
            .map_err(|error| {
                Problem::new(format!("{} could not be written", path.display()), error)
            })?;
        written.push((name, path));
    }
    Ok(written)
}

/// The output as JSON.
pub(crate) fn json(
    played: &Played,
    expectations: &[Expectation],
    pages: &[(&str, PathBuf)],
) -> Value {
    let buckets = [&played.assets, &played.archive.restored];
    json!({
        "passed": expectations.iter().all(|expectation| expectation.held),
        "expectations": expectations.iter().map(|expectation| json!({
            "what": expectation.what, "held": expectation.held, "found": expectation.found,
        })).collect::<Vec<_>>(),
        "secondsToAttach": measured(played).iter().map(|(restore, state)| json!({
            "restoreJobId": restore.job, "start": state, "seconds": seconds_to_attach(played, restore),
        })).collect::<Vec<_>>(),
        "report": played.recovery.report,
        "pages": pages.iter().map(|(name, path)| ((*name).to_owned(), json!(path))).collect::<serde_json::Map<_, _>>(),
        "restores": restores(played).map(|restore| json!({
            "name": restore.name, "restoreJobId": restore.job, "recoveryPointArn": restore.recovery_point,
            "volumeId": restore.volume,
            "instanceId": restore.attached.as_ref().map(|(instance, _)| instance),
            "device": restore.attached.as_ref().map(|(_, device)| device),
        })).collect::<Vec<_>>(),
        "databasesAndTables": played.stores.iter().chain([&played.unnoticed]).map(|restored| json!({
            "name": restored.store.name, "restoreJobId": restored.job, "recoveryPointArn": restored.recovery_point,
            "state": restored.state, "published": restored.published,
        })).collect::<Vec<_>>(),
        "fileSystems": played.file_systems.iter().map(|restored| json!({
            "name": restored.file_system.name, "restoreJobId": restored.job, "recoveryPointArn": restored.recovery_point,
            "id": restored.id, "state": restored.state, "published": restored.published,
        })).collect::<Vec<_>>(),
        "buckets": buckets.map(|restored| json!({
            "name": restored.name, "restoreJobId": restored.job, "recoveryPointArn": restored.recovery_point,
            "objects": restored.objects.len(), "published": restored.published,
        })),
        "instances": std::iter::once(&played.appliance).map(|restored| json!({
            "name": restored.server.name, "restoreJobId": restored.job, "recoveryPointArn": restored.recovery_point,
            "id": restored.id, "state": restored.state, "published": restored.published,
        })).collect::<Vec<_>>(),
        "mounts": mounted(played).into_iter().map(|mounted| json!({
            "name": mounted.name, "path": mounted.path, "instances": mounted.mounts,
        })).collect::<Vec<_>>(),
        "opsItems": played.items.iter().map(|item| json!({
            "opsItemId": item.id, "title": item.title, "status": item.status, "severity": item.severity, "key": item.key,
        })).collect::<Vec<_>>(),
        "timeline": timeline(played).into_iter().map(|moment| json!({
            "seconds": moment.at, "who": moment.who, "what": moment.what,
        })).collect::<Vec<_>>(),
    })
}
