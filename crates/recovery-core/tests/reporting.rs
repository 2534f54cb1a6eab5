//! Reports of complete and incomplete recoveries.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::time::Duration;

use proptest::prelude::*;
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, Progress, Story, StoryItem, World};
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;
use recovery_core::plan::request::Mode;
use recovery_core::report::phases::PhaseName;
use recovery_core::report::run::{ReportConfig, handle};
use recovery_core::report::{Objectives, Report, page};
use serde_json::{Value, json};

fn config() -> ReportConfig {
    ReportConfig {
        bucket: "recovery".to_owned(),
        objectives: Objectives {
            rto_minutes: Some(60),
            rpo_minutes: Some(15),
        },
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// A change of the input.
type Change = fn(&mut Value);

async fn asked(world: &World, payload: &Value) -> Result<Outcome, Error> {
    handle(world, world, &FakeClock::new(), &config(), payload).await
}

/// The stored report.
fn kept(world: &World, outcome: &Outcome) -> Report {
    let state = world.state();
    let key = outcome.id("reportKey").unwrap();
    serde_json::from_str(&state.backups.objects[key]).unwrap()
}

async fn reported(story: &Story) -> (World, Outcome, Report) {
    reported_with(story, &json!(null)).await
}

/// The same with objectives of the input.
async fn reported_with(story: &Story, objectives: &Value) -> (World, Outcome, Report) {
    let (world, mut payload) = story.told("report").unwrap();
    payload["targets"] = objectives.clone();
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(outcome.kind(), "reported");
    let report = kept(&world, &outcome);
    assert_eq!(world.state().problems, Vec::<String>::new());
    (world, outcome, report)
}

#[tokio::test]
async fn notes_items_with_the_tags_of_an_older_point() {
    let story = Story {
        untagged: 1,
        ..Story::whole(2, 7)
    };
    let (_, _, report) = reported(&story).await;
    let noted: Vec<&String> = report
        .items
        .iter()
        .filter_map(|it| it.note.as_ref())
        .collect();
    assert_eq!(noted.len(), 1);
    assert!(noted[0].contains("snapshot/snap-older"), "{noted:?}");
    let page = page::html(&report).unwrap();
    assert!(page.contains("has no usable tags"), "{page}");
}

#[tokio::test]
async fn reports_and_notifies_a_complete_recovery_once() {
    let story = Story::whole(3, 7);
    let (world, outcome, report) = reported(&story).await;
    assert_eq!(outcome.member("complete"), Some(&json!(true)));
    let took = story.failed_over.unwrap();
    assert_eq!(outcome.member("rtoSeconds"), Some(&json!(took)));
    assert_eq!(report.rto.achieved_seconds, took);
    assert_eq!(report.rto.met, Some(took <= 3_600));
    assert_eq!(report.software_version, recovery_core::VERSION);
    assert_eq!(
        report
            .phases
            .iter()
            .map(|phase| phase.phase)
            .collect::<Vec<_>>(),
        PhaseName::ALL
    );
    {
        let state = world.state();
        assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
        let item = &state.items[0].item;
        assert_eq!(state.items.len(), 1);
        assert_eq!(
            item.status,
            Status::Open,
            "only the incident's end resolves it"
        );
        assert_eq!(state.items[0].title, "S3 in us-east-1");
        assert_eq!(
            item.data["recovery:report"],
            "reports/shop/recover-1/0.json"
        );
        assert!(item.data["recovery:report-summary"].contains("3 of 3 restored and integrated"));
        assert_eq!(state.notifications.len(), 1);
        let told = &state.notifications[0];
        assert!(
            told.subject
                .starts_with("Recovery of shop complete, RPO missed: RTO "),
            "{}",
            told.subject
        );
        for part in [
            "(objective 60 min)",
            "OpsItem: oi-1",
            "aws s3 cp s3://recovery/reports/shop/recover-1/0.html",
        ] {
            assert!(told.message.contains(part), "{part}: {}", told.message);
        }
        assert!(
            !told.message.contains("redrive-execution"),
            "{}",
            told.message
        );
        assert_eq!(state.measures.len(), 1);
        assert!(
            state.backups.objects["reports/shop/recover-1/0.html"].contains("</strong> complete ")
        );
    }
    let (_, payload) = story.told("report").unwrap();
    world.state().calls.clear();
    assert_eq!(asked(&world, &payload).await.unwrap(), outcome);
    let state = world.state();
    assert_eq!(
        state.calls,
        [
            "s3:GetObject reports/shop/recover-1/0.json",
            "ssm:GetOpsItem oi-1"
        ]
    );
    assert_eq!(state.notifications.len(), 1);
    assert_eq!(state.measures.len(), 1);
}

#[tokio::test]
async fn creates_an_ops_item_for_a_recovery_without_an_incident() {
    let story = Story::whole(4, 1).untracked();
    let (world, _, report) = reported(&story).await;
    let names: Vec<_> = report.phases.iter().map(|phase| phase.phase).collect();
    assert_eq!(names, PhaseName::ALL[2..]);
    assert_eq!(
        report.rto.achieved_seconds,
        story.failed_over.unwrap() - story.started
    );
    let state = world.state();
    let item = &state.items[0];
    assert_eq!(item.key.as_str(), "recovery/recover-1");
    assert_eq!(item.item.status, Status::Resolved);
    assert_eq!(item.item.data["recovery:kind"], "recovery");
    assert!(state.notifications[0].message.contains("OpsItem: oi-1"));
}

#[tokio::test]
async fn names_unfinished_items_with_a_remedy_and_reports_again_after_a_redrive() {
    let story = Story {
        refused: 2,
        ..Story::whole(8, 3).untracked().left(4)
    };
    let (world, outcome, report) = reported(&story).await;
    assert_eq!(outcome.member("complete"), Some(&json!(false)));
    assert_eq!(outcome.member("rtoSeconds"), None);
    assert_eq!(report.rto.met, Some(false));
    assert_eq!((report.totals.integrated, report.totals.unfinished), (4, 4));
    let mut reasons: Vec<&str> = report
        .problems
        .iter()
        .map(|it| it.reason.as_str())
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "not-attached",
            "not-started",
            "restore-failed",
            "restore-running"
        ]
    );
    {
        let state = world.state();
        assert_eq!(state.items[0].item.status, Status::Open);
        let message = &state.notifications[0].message;
        for part in [
            "incomplete: 4 of 8 items not integrated",
            "aws stepfunctions redrive-execution --region us-west-2 --execution-arn arn:aws:states:us-west-2:111122223333:execution:RegionRecovery:recover-1",
            "The KMS key <b>cannot</b> be used",
            "   Remedy: Read the job's message",
            "Not in the plan, not restored\n- arn:aws:rds:",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let page = &state.backups.objects["reports/shop/recover-1/0.html"];
        assert!(page.contains("The KMS key &#60;b&#62;cannot&#60;/b&#62; be used"));
    }
    // The causes are fixed, and the execution is redriven.
    let whole = Story {
        redrives: 1,
        ..Story::whole(8, 3).untracked()
    };
    let (after, payload) = whole.told("report").unwrap();
    {
        let (mut state, after) = (world.state(), after.state());
        state.restore_jobs = after.restore_jobs.clone();
        state.volumes = after.volumes.clone();
    }
    let again = asked(&world, &payload).await.unwrap();
    assert_eq!(again.member("complete"), Some(&json!(true)));
    let state = world.state();
    assert_eq!(state.items.len(), 1);
    assert_eq!(state.items[0].item.status, Status::Resolved);
    assert!(
        state.items[0]
            .title
            .starts_with("Recovery of shop complete, "),
        "{}",
        state.items[0].title
    );
    assert_eq!(state.notifications.len(), 2);
    assert!(
        state
            .backups
            .objects
            .contains_key("reports/shop/recover-1/0.json")
    );
    assert!(
        state
            .backups
            .objects
            .contains_key("reports/shop/recover-1/1.json")
    );
    assert_eq!(state.problems, Vec::<String>::new());
}

#[tokio::test]
async fn includes_failed_restores_in_phases_and_timeline() {
    let mut story = Story::whole(4, 3).untracked();
    story.items.truncate(1);
    let (created, failed) = (story.stood + 10, story.stood + 900);
    story.items[0].came = Progress::Failed(created, failed);
    story.verified = Some(failed + 30);
    story.failed_over = None;
    let (_, _, report) = reported(&story).await;
    let took = |report: &Report, name: PhaseName| {
        let phase = report.phases.iter().find(|phase| phase.phase == name);
        phase.map(|phase| phase.seconds)
    };
    assert_eq!(took(&report, PhaseName::Restore), Some(900));
    assert_eq!(took(&report, PhaseName::Verify), Some(30));
    let shown = page::html(&report).unwrap();
    assert!(shown.contains("<rect class=\"failed\""), "{shown}");
    assert!(shown.contains("<span class=\"swatch failed\"></span>restore failed"));

    // After a redrive, it is restored.
    story.items[0] = StoryItem {
        failed_before: Some((created, failed)),
        came: Progress::Attached(failed + 100, failed + 160, failed + 170),
        ..story.items[0]
    };
    story.verified = Some(failed + 200);
    // The redrive checks the stacks again. They were complete before the first restore.
    let stood = std::mem::replace(&mut story.stood, failed + 90);
    let (_, _, report) = reported(&story).await;
    assert!(report.complete);
    assert_eq!(
        took(&report, PhaseName::Infrastructure),
        Some(stood + 10 - story.planned)
    );
    assert_eq!(took(&report, PhaseName::Restore), Some(1_050));
    let before = &report.items[0].failed_before;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].status, "FAILED");
    assert_eq!(before[0].started_at, Some(Story::moment(created)));
    assert_eq!(before[0].ended_at, Some(Story::moment(failed)));
    let shown = page::html(&report).unwrap();
    for part in ["<rect class=\"failed\"", "after 1 failed restore"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (_, _, without) = reported(&Story::whole(4, 3)).await;
    let shown = page::html(&without).unwrap();
    assert!(!shown.contains("<rect class=\"failed\"") && !shown.contains("swatch failed"));
}

#[tokio::test]
async fn drill_counts_time_from_its_execution_and_only_its_restores() {
    let story = Story::whole(3, 5).drill();
    let (world, _, report) = reported(&story).await;
    assert_eq!(report.phases[0].phase, PhaseName::Plan);
    assert_eq!(
        report.rto.achieved_seconds,
        story.verified.unwrap() - story.started
    );
    let told = world.state().notifications[0].clone();
    assert!(
        told.subject
            .starts_with("[drill] Recovery of shop complete, "),
        "{}",
        told.subject
    );
    // The same world verified as a recovery: none of these restores belongs to it.
    let (world, mut payload) = story.told("verify").unwrap();
    payload["mode"] = json!("recover");
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(outcome.kind(), "unfinished");
    assert_eq!(outcome.count("unfinished"), Some(3));
}

#[tokio::test]
async fn ops_item_of_a_drill_does_not_make_it_an_incident() {
    let mut story = Story::whole(3, 5).drill();
    story.tracked = Some(30);
    let (_, outcome, report) = reported(&story).await;
    assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
    assert_eq!(report.phases[0].phase, PhaseName::Plan);
    assert_eq!(
        report.rpo.unwrap().counted_from,
        Story::moment(story.started)
    );
}

#[tokio::test]
async fn verify_counts_attached_items_and_names_unfinished_ones() {
    let (world, payload) = Story::whole(450, 2).told("verify").unwrap();
    world.state().jobs_on_a_page = Some(100);
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(outcome.kind(), "verified");
    assert_eq!(outcome.count("integrated"), Some(450));
    assert_eq!(outcome.member("unfinishedItems"), Some(&json!([])));
    let calls = world.calls();
    let count = |operation: &str| {
        calls
            .iter()
            .filter(|call| call.starts_with(operation))
            .count()
    };
    assert_eq!(count("backup:ListRestoreJobs"), 5);
    assert_eq!(count("ec2:DescribeVolumes"), 3);
    assert_eq!(calls.len(), 9, "and the plan");

    let (world, payload) = Story::whole(450, 2).left(120).told("verify").unwrap();
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(outcome.kind(), "unfinished");
    assert_eq!(outcome.count("unfinished"), Some(120));
    let named = outcome
        .member("unfinishedItems")
        .unwrap()
        .as_array()
        .unwrap();
    assert_eq!(named.len(), 50);
    for member in ["step", "subject", "reason", "why"] {
        assert!(named[0][member].is_string(), "{member}");
    }
}

#[tokio::test]
async fn stop_fails_until_the_execution_is_redriven() {
    let (world, mut payload) = Story::whole(3, 2).left(1).told("stop").unwrap();
    payload["problems"] = json!([
        {"step": "restore", "subject": "vol-1", "reason": "restore-failed", "why": "no key"},
        {"step": "restore", "subject": "vol-2"},
    ]);
    let error = asked(&world, &payload).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert_eq!(
        error.to_string(),
        "recovery on shop failed: The recovery of shop is incomplete: restore vol-1: no key; and 1 more. \
         Fix the causes, then redrive the execution: `aws stepfunctions redrive-execution --region us-west-2 --execution-arn \
         arn:aws:states:us-west-2:111122223333:execution:RegionRecovery:recover-1`."
    );
    payload["redrives"] = json!(1);
    assert_eq!(asked(&world, &payload).await.unwrap().kind(), "resumed");
    payload["round"] = json!(1);
    asked(&world, &payload).await.unwrap_err();
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn reports_the_problems_of_the_state_machine_without_a_plan() {
    let (world, mut payload) = Story::whole(3, 2).told("report").unwrap();
    let members = payload.as_object_mut().unwrap();
    for gone in ["plan", "infrastructure", "verification", "failOver"] {
        members.remove(gone);
    }
    payload["problems"] = json!([{
        "step": "plan", "subject": "shop", "reason": "nothing-to-restore",
        "why": "nothing can be restored", "remedy": "Check the vault.",
    }]);
    let outcome = asked(&world, &payload).await.unwrap();
    let report = kept(&world, &outcome);
    assert!(!report.complete && report.items.is_empty() && report.rpo.is_none());
    assert_eq!(report.problems.len(), 1);
    let names: Vec<_> = report.phases.iter().map(|phase| phase.phase).collect();
    assert_eq!(names, [PhaseName::Detect, PhaseName::Decide]);
    let state = world.state();
    assert!(
        state.notifications[0]
            .message
            .contains("Remedy: Check the vault.")
    );
    assert!(state.backups.objects["reports/shop/recover-1/0.html"].contains("Check the vault."));
}

#[tokio::test]
async fn reports_a_missing_plan_as_a_problem() {
    let (world, payload) = Story::whole(3, 2).told("report").unwrap();
    world.state().backups.objects.clear();
    let outcome = asked(&world, &payload).await.unwrap();
    let report = kept(&world, &outcome);
    assert_eq!(report.problems[0].reason, "no-plan");
    let (world, payload) = Story::whole(3, 2).told("verify").unwrap();
    world.state().backups.objects.clear();
    assert_eq!(asked(&world, &payload).await.unwrap().kind(), "unfinished");
}

#[tokio::test]
async fn creates_an_ops_item_when_the_given_one_does_not_exist() {
    let (world, mut payload) = Story::whole(3, 2).told("report").unwrap();
    payload["opsItemId"] = json!("oi-gone");
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(outcome.id("opsItemId"), Some("oi-2"));
    let state = world.state();
    assert_eq!(state.items[1].key.as_str(), "recovery/recover-1");
    assert_eq!(state.items[1].item.status, Status::Resolved);
}

#[tokio::test]
async fn notifies_even_if_the_ops_item_cannot_be_updated() {
    let (world, payload) = Story::whole(3, 2).told("report").unwrap();
    world.fail("ssm:UpdateOpsItem", Failure::Denied);
    asked(&world, &payload).await.unwrap_err();
    assert!(
        world.state().notifications[0]
            .message
            .contains("OpsItem: could not be created or updated")
    );
    asked(&world, &payload).await.unwrap();
    assert!(
        world.state().notifications[1]
            .message
            .contains("OpsItem: oi-1")
    );
    asked(&world, &payload).await.unwrap();
    assert_eq!(world.state().notifications.len(), 2);
}

#[tokio::test]
async fn uses_the_stored_report_in_a_retry() {
    let story = Story::whole(3, 2);
    let (world, payload) = story.told("report").unwrap();
    world.fail("sns:Publish", Failure::Throttled);
    asked(&world, &payload).await.unwrap_err();
    // A volume is detached after the report was stored.
    world.state().volumes.clear();
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(outcome.member("complete"), Some(&json!(true)));
    let state = world.state();
    assert_eq!(state.notifications.len(), 1);
    assert!(state.notifications[0].message.contains("3 of 3"));
}

#[tokio::test]
async fn refuses_a_stored_report_of_another_version() {
    let (world, payload) = Story::whole(3, 2).told("report").unwrap();
    let old = json!({"version": 1, "workload": "shop"}).to_string();
    world
        .state()
        .backups
        .objects
        .insert("reports/shop/recover-1/0.json".to_owned(), old);
    let error = asked(&world, &payload).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    for part in ["has version 1", "reads version 3", "Redrive the execution"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert!(world.state().notifications.is_empty());
    // A redrive creates another report.
    let redriven = Story {
        redrives: 1,
        ..Story::whole(3, 2)
    };
    let (_, payload) = redriven.told("report").unwrap();
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(kept(&world, &outcome).version, 3);
}

/// What operators read, exactly.
#[tokio::test]
async fn notification_and_ops_item_match_the_golden_files() {
    let incomplete = Story {
        refused: 1,
        ..Story::whole(4, 3).untracked().left(2)
    };
    let mut different = Vec::new();
    for (name, story) in [
        ("complete", Story::whole(3, 7).untracked()),
        ("incomplete", incomplete),
        ("drill", Story::whole(3, 5).drill()),
    ] {
        let (world, _, _) = reported(&story).await;
        let state = world.state();
        let notification = &state.notifications[0];
        let texts = format!(
            "Subject: {}\n\n{}\n---\n\nTitle: {}\n\n{}\n",
            notification.subject,
            notification.message,
            state.items[0].title,
            state.items[0].description,
        );
        let made = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("texts");
        std::fs::create_dir_all(&made).unwrap();
        let made = made.join(format!("report-{name}.txt"));
        std::fs::write(&made, &texts).unwrap();
        let golden = format!("crates/recovery-core/tests/golden/report-{name}.txt");
        if std::fs::read_to_string(format!("tests/golden/report-{name}.txt")).ok() != Some(texts) {
            different.push(format!("cp {} {golden}", made.display()));
        }
    }
    assert!(
        different.is_empty(),
        "texts differ from the golden files. If that is intended:\n{}",
        different.join("\n")
    );
}

#[tokio::test]
async fn returns_a_retryable_error_when_the_time_is_up() {
    let (world, payload) = Story::whole(3, 2).told("verify").unwrap();
    let clock = FakeClock::with_budget(Duration::from_secs(60));
    let error = handle(&world, &world, &clock, &config(), &payload)
        .await
        .unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
}

#[tokio::test]
async fn accepts_missing_optional_members_and_names_invalid_ones() {
    let (_, payload) = Story::whole(1, 2).told("verify").unwrap();
    let with = |change: Change| {
        let (world, mut payload) = (
            Story::whole(1, 2).told("verify").unwrap().0,
            payload.clone(),
        );
        change(&mut payload);
        (world, payload)
    };
    let fine: [Change; 4] = [
        |it| it["incident"] = json!(null),
        |it| it["problems"] = json!(null),
        |it| it["verification"] = json!({"from": 1, "to": "soon"}),
        |it| it["infrastructure"] = json!({}),
    ];
    for change in fine {
        let (world, payload) = with(change);
        assert_eq!(asked(&world, &payload).await.unwrap().kind(), "verified");
    }
    let wrong: [(&str, Change); 7] = [
        ("do", |it| it["do"] = json!("sing")),
        ("workload", |it| it["workload"] = json!("../x")),
        ("mode", |it| it["mode"] = json!("both")),
        ("execution.name", |it| {
            it["execution"]["name"] = json!("a/b")
        }),
        ("execution.name", |it| it["execution"]["name"] = json!("..")),
        ("execution.startedAt", |it| {
            it["execution"]["startedAt"] = json!("soon")
        }),
        ("plan.key", |it| it["plan"]["key"] = json!("reports/x.json")),
    ];
    for (member, change) in wrong {
        let (world, payload) = with(change);
        let error = asked(&world, &payload).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert!(error.to_string().contains(member), "{member}: {error}");
    }
}

fn came() -> impl Strategy<Value = Progress> {
    let moment = || 1_000_i64..5_000;
    let later = || 0_i64..900;
    prop_oneof![
        1 => Just(Progress::Nowhere),
        1 => moment().prop_map(Progress::Restoring),
        1 => (moment(), later()).prop_map(|(at, took)| Progress::Failed(at, at + took)),
        1 => (moment(), later()).prop_map(|(at, took)| Progress::Restored(at, at + took)),
        6 => (moment(), later(), -5_i64..300)
            .prop_map(|(at, took, then)| Progress::Attached(at, at + took, at + took + then)),
    ]
}

/// Clocks may differ, so the times are in any order.
fn story() -> impl Strategy<Value = Story> {
    let failed = proptest::option::weighted(0.2, (500_i64..900, 0_i64..100));
    let item = (0_u8..10, -300_i64..90_000, failed, came()).prop_map(
        |(wave, age, failed_before, came)| StoryItem {
            wave,
            age,
            failed_before: failed_before
                .map(|(at, took)| (at, at + took))
                .filter(|_| came != Progress::Nowhere),
            came,
        },
    );
    let moments = (
        proptest::option::of(-200_i64..400),
        -100_i64..900,
        500_i64..1_000,
        500_i64..2_000,
        proptest::option::of(3_000_i64..8_000),
        proptest::option::of(3_000_i64..9_000),
    );
    (
        moments,
        proptest::collection::vec(item, 1..12),
        any::<bool>(),
        0_usize..3,
    )
        .prop_map(
            |(
                (tracked, started, planned, stood, verified, failed_over),
                mut items,
                drill,
                refused,
            )| {
                items.sort_by_key(|item| item.wave);
                let story = Story {
                    mode: Mode::Recover,
                    tracked,
                    started,
                    planned,
                    stood,
                    verified,
                    failed_over,
                    items,
                    refused,
                    redrives: 0,
                    untagged: refused / 2,
                    databases: 0,
                    mounted: false,
                };
                if drill { story.drill() } else { story }
            },
        )
}

fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("the fakes never wait"),
    }
}

#[test]
fn counts_earlier_restores_of_another_recovery_but_not_failed_ones() {
    let mut story = Story::whole(1, 0);
    let planned = story.planned;
    story.items[0].came = Progress::Attached(planned - 60, planned - 30, planned - 20);
    story.items[0].failed_before = Some((planned - 120, planned - 90));
    story.items[0].age = 3_600;
    let (_, _, report) = now(reported(&story));
    assert!(report.complete, "{:?}", report.problems);
    assert!(report.items[0].failed_before.is_empty());
}

proptest! {
    /// Computes the expected numbers from the events, without the code under test.
    #[test]
    fn computes_rto_rpo_and_totals_from_the_events(story in story()) {
        let (_, _, report) = now(reported(&story));
        let tracked = story.tracked;
        let began = tracked.map(|_| 0);
        let start = began.into_iter().chain(tracked).fold(story.started, i64::min);
        let of = |pick: fn(Progress) -> Option<i64>| story.items.iter().filter_map(move |item| pick(item.came));
        let restored = of(|came| match came {
            Progress::Failed(_, ended) => Some(ended),
            Progress::Restored(_, completed) | Progress::Attached(_, completed, _) => Some(completed),
            Progress::Nowhere | Progress::Restoring(_) => None,
        }).max();
        let attached = of(|came| match came {
            Progress::Attached(_, _, attached) => Some(attached),
            _ => None,
        });
        // All restores began after the plan, so all of them belong to this recovery.
        let end = [Some(story.started), Some(story.planned), restored, attached.clone().max(), story.verified, story.failed_over];
        let first = of(|came| match came {
            Progress::Nowhere => None,
            Progress::Restoring(at) | Progress::Failed(at, _) | Progress::Restored(at, _) | Progress::Attached(at, ..) => Some(at),
        });
        // A restore that began before the plan, or before the drill, belongs to another execution.
        let since = if story.mode == Mode::Drill { story.started } else { story.planned };
        let failed = story.items.iter().filter_map(|item| Some(item.failed_before?.0));
        let failed = failed.filter(|created| *created >= since);
        let first = first.chain(failed).min();
        let stood = first.map_or(story.stood, |first| story.stood.min(first));
        let end = end.into_iter().flatten().fold(stood, i64::max);
        let so_far = (report.reported_at - Story::moment(start)).num_seconds();
        let expected = if story.is_whole() { end - start } else { so_far.max(end - start) };
        prop_assert_eq!(report.rto.achieved_seconds, expected);
        prop_assert_eq!(report.totals.integrated, attached.count());
        prop_assert_eq!(report.complete, story.is_whole());
        let from = if tracked.is_some() { 0 } else { story.started };
        let worst = story.items.iter().map(|item| (item.age + from).max(0)).max();
        let rpo = report.rpo.as_ref().map(|rpo| rpo.result.achieved_seconds);
        prop_assert_eq!(rpo, worst);
        let met = report.rto.met;
        prop_assert_eq!(met, Some(story.is_whole() && end - start <= 3_600));
        let took: Vec<i64> = story.items.iter().filter_map(|item| match item.came {
            Progress::Restored(at, completed) | Progress::Attached(at, completed, _) => Some(completed - at),
            _ => None,
        }).collect();
        let distribution = report.statistics.restore_seconds.as_ref().map(|it| (it.min, it.max));
        prop_assert_eq!(distribution, took.iter().min().copied().zip(took.iter().max().copied()));
    }

    #[test]
    fn phases_partition_the_recovery_time(story in story()) {
        let (_, _, report) = now(reported(&story));
        let mut at = report.began_at;
        for phase in &report.phases {
            prop_assert_eq!(phase.from, at);
            prop_assert!(phase.to >= phase.from);
            prop_assert_eq!(phase.seconds, (phase.to - phase.from).num_seconds());
            at = phase.to;
        }
        prop_assert_eq!(at, report.ended_at);
        let sum: i64 = report.phases.iter().map(|phase| phase.seconds).sum();
        prop_assert_eq!(sum, (report.ended_at - report.began_at).num_seconds());
        prop_assert!(report.phases.is_sorted_by_key(|phase| phase.phase));
    }

    #[test]
    fn does_not_depend_on_the_order_of_jobs_and_volumes(
        story in story(), seed in any::<u64>(), page_size in 1_usize..5,
    ) {
        let (_, _, usual) = now(reported(&story));
        let (world, payload) = story.told("report").unwrap();
        {
            let mut state = world.state();
            state.jobs_on_a_page = Some(page_size);
            let mut dice = fastrand::Rng::with_seed(seed);
            // Earlier attempts that failed, and jobs that do not belong to the recovery.
            let more: Vec<_> = state.restore_jobs.values().map(|job| {
                let mut more = job.clone();
                more.id = recovery_core::aws::arn::RestoreJobId::new(format!("{}-before", job.id));
                match dice.u8(0..3) {
                    0 => more.restore_test = true,
                    1 => more.recovery_point = None,
                    _ => {
                        more.status = Some("FAILED".to_owned());
                        more.created = more.created.map(|at| at - chrono::TimeDelta::seconds(1));
                    }
                }
                more
            }).collect();
            if !story.items.iter().any(|item| item.came == Progress::Nowhere) {
                let more = more.into_iter().map(|job| (job.id.to_string(), job));
                state.restore_jobs.extend(more);
            }
            state.order_of_jobs = seed;
        }
        let outcome = now(asked(&world, &payload)).unwrap();
        let report = kept(&world, &outcome);
        let mut items = report.items.clone();
        for (item, usual) in items.iter_mut().zip(&usual.items) {
            prop_assert!(item.failed_before.is_sorted_by_key(|job| job.started_at));
            item.failed_before.retain(|job| !job.job_id.ends_with("-before"));
            prop_assert!(item.failed_before.len() <= usual.failed_before.len() + 1);
        }
        prop_assert_eq!(&items, &usual.items);
        prop_assert_eq!(&report.problems, &usual.problems);
        // The stacks were complete when the first restore began, at the latest.
        prop_assert_eq!(report.rto, usual.rto);
    }

    #[test]
    fn escapes_hostile_text_in_the_page(words in "[<>&\"'a-z\u{202e}/ ]{1,60}", story in story()) {
        let (world, mut payload) = story.told("report").unwrap();
        payload["incident"] = json!(words);
        payload["problems"] = json!([{
            "step": words, "subject": words, "reason": words, "why": words, "remedy": words,
        }]);
        payload["infrastructure"]["stacks"] = json!([{"stack": words, "did": words}]);
        let outcome = now(asked(&world, &payload)).unwrap();
        let page = page::html(&kept(&world, &outcome)).unwrap();
        prop_assert_eq!(world.state().problems.clone(), Vec::<String>::new());
        prop_assert!(!page.contains('\u{202e}'), "a character that turns the direction");
        // It opens and closes no element: the page has as many tags as one without it.
        let tags = page.matches('<').count();
        let plain: String = words.chars().map(|c| if c.is_ascii_lowercase() { c } else { 'x' }).collect();
        let (world, mut payload) = story.told("report").unwrap();
        payload["incident"] = json!(plain);
        payload["problems"] = json!([{
            "step": plain, "subject": plain, "reason": plain, "why": plain, "remedy": plain,
        }]);
        payload["infrastructure"]["stacks"] = json!([{"stack": plain, "did": plain}]);
        let outcome = now(asked(&world, &payload)).unwrap();
        let other = page::html(&kept(&world, &outcome)).unwrap();
        if !words.trim().is_empty() {
            prop_assert_eq!(tags, other.matches('<').count());
        }
    }
}

#[tokio::test]
async fn limits_the_size_of_a_page_with_10000_items() {
    let story = Story::whole(10_000, 11).left(400);
    let (world, outcome, report) = reported(&story).await;
    assert_eq!(report.items.len(), 10_000);
    assert_eq!(report.problems.len(), 200);
    assert_eq!(report.totals.problems, 400);
    let page = page::html(&report).unwrap();
    assert!(page.len() < 400_000, "{}", page.len());
    assert!(page.contains("Of 10000 items, this shows 200"));
    assert!(json!(outcome).to_string().len() < 2_000);
    assert!(world.state().notifications[0].message.len() < 20_000);
}

#[tokio::test]
async fn drops_problems_of_items_that_are_attached_by_now() {
    let (world, mut payload) = Story::whole(3, 2).told("report").unwrap();
    let resource = "arn:aws:ec2:us-east-1:111122223333:volume/vol-00000000000000001";
    payload["problems"] = json!([
        {"step": "integrate", "subject": resource, "reason": "Retryable", "why": "it took too long"},
    ]);
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(outcome.member("complete"), Some(&json!(true)));
    // Problems without an item stay.
    payload["problems"] = json!([{"step": "verify", "subject": "hook", "why": "it says no"}]);
    payload["redrives"] = json!(1);
    let outcome = asked(&world, &payload).await.unwrap();
    assert_eq!(outcome.member("complete"), Some(&json!(false)));
}

#[tokio::test]
async fn reports_a_failed_step_with_its_error_and_the_message_in_its_cause() {
    let (world, mut payload) = Story::whole(3, 2).told("report").unwrap();
    let cause = json!({"errorType": "Permanent", "errorMessage": "no plan"}).to_string();
    payload["problems"] = json!([
        {"step": "verify", "subject": "hook", "reason": "step-failed", "error": "Permanent", "cause": cause},
        {"step": "verify", "subject": "hook", "reason": "step-failed", "error": "States.Timeout"},
        {"step": "verify", "subject": "hook", "reason": "refused", "why": "it says no", "error": "Permanent"},
    ]);
    let outcome = asked(&world, &payload).await.unwrap();
    let report = kept(&world, &outcome);
    let whys: Vec<&str> = report.problems.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(whys, ["Permanent: no plan", "States.Timeout", "it says no"]);
}

/// Sample pages for review, in the folder `reports` of cargo's directory for test output.
#[tokio::test]
async fn writes_self_contained_pages_to_the_target_directory() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("reports");
    std::fs::create_dir_all(&folder).unwrap();
    let refused = Story {
        refused: 2,
        redrives: 1,
        ..Story::whole(40, 4).left(5)
    };
    let late = Story {
        started: 90_000,
        planned: 90_010,
        ..Story::whole(0, 4)
    };
    let wide = json!({"recoveryTimeMinutes": 240, "recoveryPointMinutes": 90});
    let none = json!({});
    let tight = json!({"recoveryTimeMinutes": 15, "recoveryPointMinutes": 15});
    for (name, story, objectives) in [
        ("whole-3", Story::whole(3, 1), &wide),
        ("left-3", Story::whole(3, 1).left(1), &wide),
        ("whole-1", Story::whole(1, 8), &tight),
        ("drill-12", Story::whole(12, 3).drill(), &wide),
        ("left-40", refused, &tight),
        ("whole-200", Story::whole(200, 2), &wide),
        ("left-200", Story::whole(200, 2).left(30), &wide),
        ("whole-10000", Story::whole(10_000, 6), &none),
        ("nothing", late, &none),
    ] {
        let (_, _, report) = reported_with(&story, objectives).await;
        let page = page::html(&report).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
        for outside in ["http:", "https:", "src=", "url(", "<script", "@import"] {
            assert!(!page.contains(outside), "{name}: {outside}");
        }
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
        let json = serde_json::to_string_pretty(&report).unwrap();
        std::fs::write(folder.join(format!("{name}.json")), json).unwrap();
    }
}
