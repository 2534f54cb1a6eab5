//! One OpsItem for each job that ended, however often its event is delivered.

use std::sync::atomic::{AtomicBool, Ordering};

use recovery_core::error::Error;
use recovery_core::fakes::{
    Call, DRILL_ROLE, Failure, Intercepted, Interceptor, StoredItem, World, answered,
};
use recovery_core::ops_item::run::find_or_create;
use recovery_core::ops_item::{DESCRIPTION_LIMIT, ItemKey, NewOpsItem, OpsItem, Severity, Status};
use recovery_core::ports::OpsItems;
use recovery_core::track::run::handle;
use serde_json::{Value, json};

fn event(detail_type: &str, detail: Value) -> Value {
    json!({
        "version": "0", "id": "e", "source": "aws.backup", "detail-type": detail_type,
        "account": "111122223333", "region": "us-west-2", "time": "2026-11-23T06:00:00Z",
        "resources": ["arn:aws:ec2:us-west-2::snapshot/snap-1"],
        "detail": detail,
    })
}

fn restore(status: &str) -> Value {
    event(
        "Restore Job State Change",
        json!({"restoreJobId": "J", "status": status, "resourceType": "EBS", "statusMessage": "In Backup's words.",
               "createdResourceArn": "arn:aws:ec2:us-west-2:111122223333:volume/vol-1"}),
    )
}

fn copy(state: &str) -> Value {
    event(
        "Copy Job State Change",
        json!({"copyJobId": "C", "state": state, "resourceType": "EBS", "backupSizeInBytes": 0,
               "resourceArn": "arn:aws:ec2:us-east-1:111122223333:volume/vol-1",
               "destinationRecoveryPointArn": {}}),
    )
}

fn backup(state: &str) -> Value {
    event(
        "Backup Job State Change",
        json!({"backupJobId": "B", "state": state, "resourceType": "RDS", "backupVaultName": "daily",
               "resourceArn": "arn:aws:rds:us-east-1:111122223333:db:shop"}),
    )
}

#[track_caller]
fn only_item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    items[0].clone()
}

#[tokio::test]
async fn tracks_every_job_that_ended_in_one_ops_item() {
    use Severity::{High, Low, Medium};
    use Status::{Open, Resolved};
    for (payload, key, outcome, status, severity, title) in [
        (
            restore("COMPLETED"),
            "restore-job/J",
            "tracked",
            Open,
            Medium,
            "Restore job (EBS) completed",
        ),
        (
            restore("FAILED"),
            "restore-job/J",
            "tracked",
            Open,
            High,
            "Restore job (EBS) failed",
        ),
        (
            restore("ABORTED"),
            "restore-job/J",
            "tracked",
            Open,
            High,
            "Restore job (EBS) aborted",
        ),
        (
            copy("COMPLETED"),
            "copy-job/C",
            "resolved",
            Resolved,
            Low,
            "Copy job (EBS) completed",
        ),
        (
            copy("FAILED"),
            "copy-job/C",
            "tracked",
            Open,
            High,
            "Copy job (EBS) failed: RPO at risk",
        ),
        (
            copy("PARTIAL"),
            "copy-job/C",
            "tracked",
            Open,
            High,
            "Copy job (EBS) partial: RPO at risk",
        ),
        (
            backup("COMPLETED"),
            "backup-job/B",
            "resolved",
            Resolved,
            Low,
            "Backup job (RDS) completed",
        ),
        (
            backup("EXPIRED"),
            "backup-job/B",
            "tracked",
            Open,
            High,
            "Backup job (RDS) expired: RPO at risk",
        ),
    ] {
        let world = World::new();
        for _ in 0..3 {
            let answer = handle(&world, DRILL_ROLE, &payload).await.unwrap();
            assert_eq!(answer.kind(), outcome, "{title}");
            assert_eq!(answer.id("opsItemId"), Some("oi-1"));
        }
        let item = only_item(&world);
        assert_eq!(item.key.as_str(), key);
        assert_eq!(item.title, title);
        assert_eq!(item.severity, severity, "{title}");
        assert_eq!(item.item.status, status, "{title}");
        assert!(item.description.contains("**What was done.**"));
    }
}

/// What cannot be copied never reaches the recovery Region. The remedy differs by type.
#[tokio::test]
async fn a_failed_copy_names_the_causes_of_its_type() {
    let advanced = "update-region-settings --resource-type-management-preference DynamoDB=true";
    let multi_az = "Multi-AZ DB cluster";
    let options = "copy-db-snapshot --option-group-name";
    for (kind, named) in [
        ("EBS", &[][..]),
        ("Aurora", &[]),
        ("DynamoDB", &[advanced]),
        ("RDS", &[multi_az, options]),
    ] {
        let mut payload = copy("FAILED");
        payload["detail"]["resourceType"] = json!(kind);
        let world = World::new();
        handle(&world, DRILL_ROLE, &payload).await.unwrap();
        let description = only_item(&world).description;
        for cause in [advanced, multi_az, options] {
            assert_eq!(
                description.contains(cause),
                named.contains(&cause),
                "{kind}: {cause}: {description}"
            );
        }
        assert!(description.contains("more than 50 tags"), "{kind}");
        assert!(
            description.contains("Start the copy again"),
            "{kind}: {description}"
        );
    }
}

#[tokio::test]
async fn ignores_jobs_that_have_not_ended() {
    for (payload, reason) in [
        (restore("RUNNING"), "status"),
        (copy("CREATED"), "state"),
        (backup("PENDING"), "state"),
        // The status member of another kind of job.
        (
            event(
                "Restore Job State Change",
                json!({"restoreJobId": "J", "state": "COMPLETED"}),
            ),
            "status",
        ),
        (
            event(
                "Copy Job State Change",
                json!({"copyJobId": "C", "status": "COMPLETED"}),
            ),
            "state",
        ),
        (
            event(
                "Recovery Point State Change",
                json!({"status": "COMPLETED"}),
            ),
            "detail-type",
        ),
    ] {
        let world = World::new();
        let answer = handle(&world, DRILL_ROLE, &payload).await.unwrap();
        assert_eq!((answer.kind(), answer.reason()), ("ignored", Some(reason)));
        assert!(world.calls().is_empty());
    }
}

#[tokio::test]
async fn tracks_restore_tests_only_if_they_fail() {
    let plan = json!("arn:aws:backup:us-west-2:111122223333:restore-testing-plan:weekly-1");
    for (status, outcome) in [("COMPLETED", "ignored"), ("FAILED", "tracked")] {
        let mut payload = restore(status);
        payload["detail"]["restoreTestingPlanArn"] = plan.clone();
        let answer = handle(&World::new(), DRILL_ROLE, &payload).await.unwrap();
        assert_eq!(answer.kind(), outcome);
    }
}

/// The instructions are at the end of the description. The truncation must not remove them.
#[tokio::test]
async fn truncated_description_keeps_the_instructions() {
    let long = "A very long message. ".repeat(100);
    let arn = |kind: &str| {
        format!(
            "arn:aws:ec2:us-west-2:111122223333:{kind}/{}",
            "x".repeat(900)
        )
    };
    for (mut payload, end) in [
        (restore("COMPLETED"), "attach the volume yourself."),
        (restore("FAILED"), "restore the same recovery point again."),
        (copy("FAILED"), "Then resolve this OpsItem."),
        (backup("FAILED"), "Then resolve this OpsItem."),
    ] {
        for member in [
            "statusMessage",
            "backupVaultArn",
            "destinationBackupVaultArn",
        ] {
            payload["detail"][member] = json!(long);
        }
        for member in [
            "resourceArn",
            "sourceResourceArn",
            "createdResourceArn",
            "recoveryPointArn",
            "destinationRecoveryPointArn",
        ] {
            payload["detail"][member] = json!(arn("volume"));
        }
        let world = World::new();
        handle(&world, DRILL_ROLE, &payload).await.unwrap();
        let item = only_item(&world);
        assert!(item.description.len() <= DESCRIPTION_LIMIT);
        assert!(item.description.ends_with(end), "{}", item.description);
    }
}

fn new_item() -> NewOpsItem {
    NewOpsItem {
        key: ItemKey::new("restore-job", "J"),
        title: "t".to_owned(),
        description: "d".to_owned(),
        severity: Severity::Low,
        category: "Recovery",
        data: std::collections::BTreeMap::new(),
    }
}

#[tokio::test]
async fn finds_or_creates_one_ops_item() {
    let world = World::new();
    let created = find_or_create(&world, &new_item()).await.unwrap();
    assert_eq!(created.data["recovery:key"], "restore-job/J");
    let found = find_or_create(&world, &new_item()).await.unwrap();
    assert_eq!(found, created);
    assert_eq!(
        world
            .calls()
            .iter()
            .filter(|call| call.starts_with("ssm:CreateOpsItem"))
            .count(),
        1
    );
    // A resolved one is found, too.
    world.state().items[0].item.status = Status::Resolved;
    let found = find_or_create(&world, &new_item()).await.unwrap();
    assert_eq!((found.id, found.status), (created.id, Status::Resolved));
}

#[tokio::test]
async fn finds_an_ops_item_after_a_lost_create_response() {
    let world = World::new();
    world.fail("ssm:CreateOpsItem", Failure::AnswerLost);
    find_or_create(&world, &new_item()).await.unwrap_err();
    find_or_create(&world, &new_item()).await.unwrap();
    only_item(&world);
}

/// OpsCenter as the later of two concurrent callers sees it: its first search finds nothing, because the
/// other caller's OpsItem does not exist or is not listed yet.
struct Late(AtomicBool);

impl Interceptor for Late {
    async fn intercept<T, F>(&self, _: Call<'_>, make: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let mut answer = make().await?;
        if let Some(found) = answered::<Vec<OpsItem>>(&mut answer)
            && self.0.swap(false, Ordering::Relaxed)
        {
            found.clear();
        }
        Ok(answer)
    }
}

#[tokio::test]
async fn keeps_the_first_ops_item_of_two_concurrent_callers() {
    for status in [Status::Open, Status::Resolved] {
        let world = World::new();
        let first = find_or_create(&world, &new_item()).await.unwrap();
        world.state().items[0].item.status = status;
        let late = Intercepted {
            ports: &world,
            interceptor: Late(true.into()),
        };
        let second = find_or_create(&late, &new_item()).await.unwrap();
        assert_eq!(second.id, first.id);
        let open = world
            .state()
            .items
            .iter()
            .filter(|item| item.item.status == Status::Open)
            .count();
        assert_eq!(open, usize::from(status == Status::Open));
    }
}

/// A run may stop between creating a second OpsItem and resolving it.
#[tokio::test]
async fn resolves_a_duplicate_ops_item_of_a_previous_run() {
    let world = World::new();
    let first = find_or_create(&world, &new_item()).await.unwrap();
    world.state().items[0].item.status = Status::Resolved;
    world.create(&new_item()).await.unwrap();
    assert_eq!(world.state().items.len(), 2);
    let found = find_or_create(&world, &new_item()).await.unwrap();
    assert_eq!(found.id, first.id);
    let left = &world.state().items[1];
    assert_eq!(left.item.status, Status::Resolved);
    assert!(left.description.starts_with("Duplicate of "));
}
