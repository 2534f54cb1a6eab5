//! Mounts in the verification and in the report.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use recovery_core::aws::arn::{OpsItemId, RestoreJobId};
use recovery_core::fakes::{DRILL_ROLE, FakeClock, StoredItem, Story, World};
use recovery_core::ops_item::{KEY, KIND, OpsItem, RESTORE, Severity, Status, restore_key};
use recovery_core::outcome::Outcome;
use recovery_core::report::run::{ReportConfig, handle};
use recovery_core::report::{Objectives, Report, page};
use serde_json::{Value, json};

const PATH: &str = "/srv/orders";

/// A recovery in which everything is attached, and one volume has a path: its resource and its restore job.
struct Mounting {
    world: World,
    payload: Value,
    resource: String,
    job: RestoreJobId,
}

impl Mounting {
    fn new(task: &str) -> Mounting {
        let (world, payload) = Story::whole(3, 7).told(task).unwrap();
        let key = payload["plan"]["key"].as_str().unwrap().to_owned();
        let mut plan: Value = serde_json::from_str(&world.state().backups.objects[&key]).unwrap();
        let item = &mut plan["waves"][0]["items"][0];
        item["target"]["mount"] = json!(PATH);
        let resource = item["resourceArn"].as_str().unwrap().to_owned();
        let (_, number) = resource.rsplit_once("vol-").unwrap();
        let number = usize::from_str_radix(number, 16).unwrap();
        let job = RestoreJobId::new(format!("job-{:017x}", number + 0xa000));
        let text = plan.to_string();
        world.state().backups.objects.insert(key, text);
        Mounting {
            world,
            payload,
            resource,
            job,
        }
    }

    /// The OpsItem of the restore job, with this record of the mount.
    fn recorded(self, status: Status, mount: &str) -> Mounting {
        let key = restore_key(&self.job);
        let mounted = json!({"path": PATH, "instanceIds": ["i-1"], "how": "xfs"});
        let mut data = vec![
            (KEY, key.as_str().to_owned()),
            (KIND, RESTORE.to_owned()),
            ("recovery:integration", "attached".to_owned()),
        ];
        if !mount.is_empty() {
            data.push(("recovery:mount", mount.to_owned()));
        }
        if mount == "mounted" {
            data.push(("recovery:mounted", mounted.to_string()));
        }
        let item = OpsItem {
            id: OpsItemId::new("oi-mount"),
            status,
            created: Some(Story::moment(0)),
            data: data
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        };
        self.world.state().items.push(StoredItem {
            item,
            key,
            title: "Restored".to_owned(),
            description: String::new(),
            severity: Severity::Low,
            related: Vec::new(),
        });
        self
    }

    async fn outcome(&self) -> Outcome {
        let config = ReportConfig {
            bucket: "recovery".to_owned(),
            objectives: Objectives::default(),
            drill_role: DRILL_ROLE.to_owned(),
        };
        let (world, clock) = (&self.world, FakeClock::new());
        handle(world, world, &clock, &config, &self.payload)
            .await
            .unwrap()
    }

    async fn report(&self) -> Report {
        let outcome = self.outcome().await;
        let key = outcome.id("reportKey").unwrap();
        serde_json::from_str(&self.world.state().backups.objects[key]).unwrap()
    }
}

#[tokio::test]
async fn an_attached_volume_that_is_not_mounted_is_unfinished() {
    for state in ["mounting", "refused", "failing"] {
        let mounting = Mounting::new("verify").recorded(Status::Open, state);
        let outcome = mounting.outcome().await;
        assert_eq!(outcome.kind(), "unfinished", "{state}");
        let left = outcome
            .member("unfinishedItems")
            .unwrap()
            .as_array()
            .unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0]["subject"], mounting.resource.as_str());
        assert_eq!(left[0]["step"], "integrate");
        assert_eq!(left[0]["reason"], "not-mounted");
        let why = left[0]["why"].as_str().unwrap();
        assert!(why.contains(PATH) && why.contains(state), "{why}");
    }
    // Nothing shows that it is mounted.
    for mounting in [
        Mounting::new("verify"),
        Mounting::new("verify").recorded(Status::Open, ""),
    ] {
        let outcome = mounting.outcome().await;
        assert_eq!(outcome.kind(), "unfinished");
        assert_eq!(
            outcome.member("unfinishedItems").unwrap()[0]["reason"],
            "not-mounted"
        );
    }
    // A person mounted it, and resolved the item.
    let mounting = Mounting::new("verify").recorded(Status::Resolved, "refused");
    assert_eq!(mounting.outcome().await.kind(), "verified");
    let mounting = Mounting::new("verify").recorded(Status::Resolved, "mounted");
    assert_eq!(mounting.outcome().await.kind(), "verified");
    // Something else is left to do.
    let mounting = Mounting::new("verify").recorded(Status::Open, "mounted");
    assert_eq!(mounting.outcome().await.kind(), "verified");
}

#[tokio::test]
async fn the_refusal_of_a_mount_stays_in_the_report_until_it_is_mounted() {
    let refused = |mut mounting: Mounting| {
        mounting.payload["problems"] = json!([{
            "step": "integrate", "subject": mounting.resource, "reason": "mount-refused",
            "why": "the path is not empty", "remedy": "Move the files away.",
        }]);
        mounting
    };
    let mounting = refused(Mounting::new("report").recorded(Status::Open, "refused"));
    let report = mounting.report().await;
    assert!(!report.complete);
    let reasons: Vec<&str> = report
        .problems
        .iter()
        .map(|it| it.reason.as_str())
        .collect();
    assert_eq!(reasons, ["mount-refused"]);
    assert_eq!(report.totals.unfinished, 1);
    let mounting = refused(Mounting::new("report").recorded(Status::Resolved, "mounted"));
    assert!(mounting.report().await.complete);
}

#[tokio::test]
async fn the_report_and_its_page_show_mounts() {
    let mounting = Mounting::new("report").recorded(Status::Resolved, "mounted");
    let report = mounting.report().await;
    let shown: Vec<Value> = report
        .items
        .iter()
        .filter_map(|item| item.mount.as_ref())
        .map(|mount| json!(mount))
        .collect();
    assert_eq!(
        shown,
        [json!({"path": PATH, "instanceIds": ["i-1"], "how": "xfs"})]
    );
    let page = page::html(&report).unwrap();
    assert!(
        page.contains("mounted at /srv/orders on i-1 (xfs)"),
        "{page}"
    );
}

/// A volume of FSx for ONTAP is not one of EBS: that it exists does not show whether it is integrated.
#[tokio::test]
async fn the_problem_of_a_volume_of_fsx_stays() {
    let (world, mut payload) = Story::whole(3, 2).told("report").unwrap();
    payload["problems"] = json!([{
        "step": "integrate", "reason": "not-integrated", "why": "its addresses are not published",
        "subject": "arn:aws:fsx:us-east-1:111122223333:volume/fs-0123456789abcdef0/fsvol-0123456789abcdef0",
    }]);
    let mounting = Mounting {
        world,
        payload,
        resource: String::new(),
        job: RestoreJobId::new("job"),
    };
    assert!(!mounting.report().await.complete);
}
