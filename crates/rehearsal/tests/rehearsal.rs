//! The rehearsal itself: it passes for the unchanged project, and fails when something is broken.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test program: it prints times, and panics when a check fails"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn rehearse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rehearsal"))
        .args(arguments)
        // The user's environment must not redirect it.
        .env("AWS_PROFILE", "production")
        .env("AWS_ENDPOINT_URL", "http://192.0.2.1")
        .env("http_proxy", "http://192.0.2.1")
        .env("HTTP_PROXY", "http://192.0.2.1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn answer(output: &Output, code: i32) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}\n{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn unmet(answer: &Value) -> Vec<&str> {
    answer["expectations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|expectation| expectation["held"] == false)
        .map(|expectation| expectation["what"].as_str().unwrap())
        .collect()
}

/// One run shows it all, since each takes a minute and a half.
#[test]
fn meets_every_expectation_with_progress_and_a_region_that_is_kept() {
    let output = rehearse(&["--json", "--keep"]);
    let said = String::from_utf8_lossy(&output.stderr);
    // First, since it ends the Region.
    answers_until_it_is_ended(&said);
    is_progress_in_a_few_plain_lines(&said);
    let answer = answer(&output, 0);
    assert_eq!(answer["passed"], true);
    assert_eq!(unmet(&answer), [""; 0]);
    let times = answer["secondsToAttach"].as_array().unwrap();
    assert_eq!(times.len(), 3);
    for time in times {
        eprintln!("{}: {} s", time["start"], time["seconds"]);
        assert!(time["seconds"].as_f64().unwrap() > 0.0, "{time}");
    }
    assert_eq!(times[2]["start"], "warm");
}

/// The rule for completed restores is disabled: the schedule integrates everything within one period.
#[test]
fn attaches_every_volume_on_schedule_without_events() {
    let answer = answer(&rehearse(&["--json", "--unplugged"]), 0);
    assert_eq!(unmet(&answer), [""; 0]);
}

/// Throttled, rejected, lost, late and reset calls, with the real programs.
#[test]
fn meets_every_expectation_despite_faults() {
    let answer = answer(&rehearse(&["--json", "--faults", "1"]), 0);
    assert_eq!(unmet(&answer), [""; 0]);
}

/// A step of the recovery, broken permanently: the recovery stops and notifies, and succeeds after the fix and a
/// redrive.
fn succeeds_after_fix_and_redrive(step: &str) {
    let answer = answer(&rehearse(&["--json", "--break", step]), 0);
    assert_eq!(unmet(&answer), [""; 0]);
}

#[test]
fn recovery_with_a_broken_stack_succeeds_after_fix_and_redrive() {
    succeeds_after_fix_and_redrive("stack");
}

#[test]
fn recovery_with_a_broken_restore_succeeds_after_fix_and_redrive() {
    succeeds_after_fix_and_redrive("restore");
}

#[test]
fn recovery_with_a_broken_database_succeeds_after_fix_and_redrive() {
    succeeds_after_fix_and_redrive("database");
}

#[test]
fn recovery_with_a_broken_cluster_succeeds_after_fix_and_redrive() {
    succeeds_after_fix_and_redrive("cluster");
}

#[test]
fn recovery_with_a_broken_table_succeeds_after_fix_and_redrive() {
    succeeds_after_fix_and_redrive("table");
}

#[test]
fn recovery_with_a_partial_bucket_succeeds_after_a_redrive() {
    succeeds_after_fix_and_redrive("bucket");
}

#[test]
fn recovery_with_a_broken_mount_succeeds_after_fix_and_redrive() {
    succeeds_after_fix_and_redrive("mount");
}

#[test]
fn recovery_with_a_broken_function_succeeds_after_fix_and_redrive() {
    succeeds_after_fix_and_redrive("function");
}

#[test]
fn recovery_with_a_broken_report_succeeds_after_fix_and_redrive() {
    succeeds_after_fix_and_redrive("report");
}

/// A common mistake in rules for this event: restores have `status`, not `state`.
#[test]
fn fails_when_a_rule_never_matches() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let template = std::fs::read_to_string(root.join("template.yaml")).unwrap();
    let (before, rule) = template.split_once("\n  RestoreCompletedRule:").unwrap();
    let broken = format!(
        "{before}\n  RestoreCompletedRule:{}",
        rule.replacen("status: [COMPLETED]", "state: [COMPLETED]", 1)
    );
    assert_ne!(broken, template);
    // Otherwise restore-reconciler would integrate each volume within a minute.
    let (before, minutes) = broken.split_once("\n  ReconcileMinutes:").unwrap();
    let rarely = minutes.replacen("Default: 1\n", "Default: 30\n", 1);
    assert_ne!(rarely, minutes);
    let broken = format!("{before}\n  ReconcileMinutes:{rarely}");
    // The files that the template names are not next to this one.
    let broken = ["infra/dashboards", "infra/runbooks", "infra/statemachines"]
        .into_iter()
        .fold(broken, |template, folder| {
            template.replace(folder, root.join(folder).to_str().unwrap())
        });
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken.yaml");
    std::fs::write(&file, broken).unwrap();
    let answer = answer(
        &rehearse(&["--json", "--template", file.to_str().unwrap()]),
        1,
    );
    assert_eq!(answer["passed"], false);
    let unmet = unmet(&answer);
    for what in [
        // The state machine integrates the planned restores even so.
        "the volume restored by hand is attached once to its instance",
        "the restore of the volume restored by hand has one resolved OpsItem",
    ] {
        assert!(unmet.contains(&what), "{unmet:?}");
    }
    assert!(
        !unmet.contains(&"duplicate Health events for S3 share one open OpsItem"),
        "expectations that do not depend on the rule are met: {unmet:?}"
    );
}

#[test]
fn rejects_invalid_arguments_with_a_remedy() {
    for (arguments, expected) in [
        (&["--fast"][..], "--help"),
        (
            &["--break", "leg"],
            "stack, restore, database, cluster, table, bucket, mount, function, report",
        ),
        (&["--template", "no/such/template.yaml"][..], "--template"),
    ] {
        let output = rehearse(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty());
        assert!(said.lines().count() < 6, "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

/// What a rehearsal without a terminal `said`: progress, but no escape codes and no output of the local Region.
fn is_progress_in_a_few_plain_lines(said: &str) {
    assert!(!said.contains('\u{1b}') && !said.contains('\r'), "{said:?}");
    for foreign in ["Traceback", "asyncio", "ERROR"] {
        assert!(!said.contains(foreign), "{said}");
    }
    assert!(
        said.contains("12 of 12 resources restored, 12 integrated"),
        "{said}"
    );
    let (progress, _) = said.split_once("AWS_ENDPOINT_URL").unwrap();
    assert!(progress.lines().count() < 40, "{said}");
}

/// The kept local Region that the rehearsal names in what it `said`.
fn answers_until_it_is_ended(said: &str) {
    let after = |mark: &str| {
        let rest = said
            .split(mark)
            .nth(1)
            .unwrap_or_else(|| panic!("no {mark:?} in {said}"));
        rest.split_whitespace().next().unwrap().to_owned()
    };
    let endpoint = after("AWS_ENDPOINT_URL=");
    let pid = after("kill ");
    let file = after("--template ");
    let ended = Ended(&pid);
    let agent = ureq::Agent::config_builder()
        .proxy(None)
        .build()
        .new_agent();
    let ready: Value = agent
        .get(format!("{endpoint}/_local-region/ready"))
        .call()
        .unwrap()
        .body_mut()
        .read_json()
        .unwrap();
    assert_eq!(ready["endpoint"], endpoint.as_str());
    let template: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let function = &template["Resources"]["RestoreIntegratorFunction"]["Properties"];
    assert_eq!(
        function["Environment"]["Variables"]["AWS_ENDPOINT_URL"],
        endpoint.replace("127.0.0.1", "host.docker.internal")
    );
    drop(ended);
    // It is not a child of this process, so its end is checked with `kill -0`.
    while Command::new("kill")
        .args(["-0", &pid])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
    {
        std::thread::yield_now();
    }
}

/// Ends the process even if the test fails.
struct Ended<'a>(&'a str);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0).status();
    }
}
