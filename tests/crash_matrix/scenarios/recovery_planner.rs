//! A recovery is planned: for the first time, again, changed, and refused.

use chrono::DateTime;
use recovery_core::aws::arn::{Arn, RecoveryPointArn};
use recovery_core::aws::backup::RecoveryPoint;
use recovery_core::aws::ec2::{Image, ImageDevice};
use recovery_core::fakes::{FakeTable, World, volume_point};
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario, Tolerance};
use crate::support::disturbed::{Disturbed, finish};
use crate::support::repository::event;
use crate::support::restored::{INSTANCE, add_target, make_target_a_group};

/// The plan that the file requests: a volume whose target exists, and a file system, which is refused.
fn of(name: &'static str, leads_to: &'static str) -> Scenario {
    let world = World::new();
    add_target(&world, &event("restore-completed-ebs"));
    let volume = volume_point("1", "1", DateTime::UNIX_EPOCH).expect("these are ids");
    let arn = |text: &str| Arn::parse(text).expect("this is an ARN");
    let file_system = RecoveryPoint {
        arn: RecoveryPointArn::new(arn("arn:aws:backup:us-west-2:1:recovery-point:1")),
        resource: arn("arn:aws:elasticfilesystem:us-east-1:1:file-system/fs-1"),
        resource_type: "EFS".to_owned(),
        ..volume.clone()
    };
    for point in [volume, file_system] {
        world.add_point(point, &[]);
    }
    let file = "manual-recovery-plan";
    Scenario::new(Function::RecoveryPlanner, name, file, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let another = json!("0".repeat(64));
    vec![
        of("plan", "planned"),
        of("planned-before", "planned").given(planned),
        of("drill", "planned").with(|input| {
            input["mode"] = json!("drill");
            input["stack"] = json!("shop-drill");
        }),
        of("group", "planned").given(|world| make_target_a_group(world, &[INSTANCE])),
        // RDS stores the tags of this recovery point.
        of("database", "planned").given(|world| {
            let arn = |text: &str| Arn::parse(text).expect("this is an ARN");
            let snapshot = "arn:aws:rds:us-west-2:1:snapshot:awsbackup:copyjob-1";
            let database = RecoveryPoint {
                arn: RecoveryPointArn::new(arn(snapshot)),
                resource: arn("arn:aws:rds:us-east-1:1:db:orders"),
                resource_type: "RDS".to_owned(),
                ..volume_point("1", "1", DateTime::UNIX_EPOCH).expect("these are ids")
            };
            world.add_point(database, &[]);
        }),
        of("databases-and-a-table", "planned")
            .given(|world| {
                for (number, (kind, form, resource)) in STORES.into_iter().enumerate() {
                    add_store(world, number, kind, form, resource);
                }
                // The name of the table is in use.
                let arn = "arn:aws:dynamodb:us-west-2:111122223333:table/sessions";
                let arn = Arn::parse(arn).expect("this is an ARN");
                let table = FakeTable::restored(arn, DateTime::UNIX_EPOCH);
                world.state().tables.insert("sessions".to_owned(), table);
            })
            .tolerating(Tolerance::OtherPlans),
        // An instance: its image says which volumes are restored with it.
        of("instance", "planned").given(|world| {
            add_store(
                world,
                0,
                "EC2",
                "ec2:us-west-2::image/ami",
                "ec2:us-east-1:1:instance/i-1",
            );
            let image = Image {
                devices: vec![ImageDevice {
                    name: "/dev/xvda".to_owned(),
                    snapshot: "snap-7".to_owned(),
                    delete_on_termination: true,
                }],
                unusable: None,
            };
            let mut state = world.state();
            state.servers.images.insert("ami-0".to_owned(), image);
        }),
        of("references", "planned").given(|world| {
            for (n, reference) in ["prefix:Gone", "tag:Name=db"].into_iter().enumerate() {
                let id = format!("of-reference-{n}");
                let point = volume_point(&id, &id, DateTime::UNIX_EPOCH);
                let point = point.expect("these are ids");
                world.add_point(point, &[("recovery:logical-id", reference)]);
            }
        }),
        of("stack-missing", "planned").given(|world| world.state().stack_resources.clear()),
        of("changed", "refused/plan-changed").with(|input| input["planHash"] = another),
        of("nothing-to-restore", "refused/nothing-to-restore").given(|world| {
            for point in &mut world.state().backups.points {
                point.status = "EXPIRED".to_owned();
            }
        }),
        // The primary Region has returned and backed up a recovered volume.
        of("newer-than-recovery", "refused/nothing-to-restore").given(|world| {
            let resource = world.state().backups.points[0].resource.to_string();
            let report = json!({
                "mode": "recover",
                "execution": {"name": "shop-1", "startedAt": "1969-12-31T00:00:00Z"},
                "items": [{"resourceArn": resource, "integrated": true}],
            });
            let key = "reports/shop/shop-1/0.json".to_owned();
            let mut state = world.state();
            state.backups.objects.insert(key, report.to_string());
        }),
        of("unknown-workload", "refused/unknown-workload")
            .given(|world| world.state().backups.points.clear()),
    ]
}

/// It was planned before.
fn planned(world: &World) {
    let scenario = of("", "");
    let ports = Disturbed::not(world);
    finish(scenario.deliver(&ports)).expect("nothing fails");
}

/// Type, recovery point and name of databases, tables and file systems.
const STORES: [(&str, &str, &str); 5] = [
    (
        "RDS",
        "rds:us-west-2:1:snapshot:awsbackup:copyjob",
        "rds:us-east-1:1:db:orders",
    ),
    (
        "Aurora",
        "rds:us-west-2:1:cluster-snapshot:awsbackup:copyjob",
        "rds:us-east-1:1:cluster:carts",
    ),
    (
        "DynamoDB",
        "backup:us-west-2:1:recovery-point:table",
        "dynamodb:us-east-1:1:table/sessions",
    ),
    (
        "EFS",
        "backup:us-west-2:1:recovery-point:file-system",
        "elasticfilesystem:us-east-1:1:file-system/fs-1",
    ),
    (
        "FSx",
        "fsx:us-west-2:1:backup/backup",
        "fsx:us-east-1:1:file-system/fs-2",
    ),
];

fn add_store(world: &World, number: usize, kind: &str, form: &str, resource: &str) {
    let arn = |text: &str| Arn::parse(&format!("arn:aws:{text}")).expect("this is an ARN");
    let point = RecoveryPoint {
        arn: RecoveryPointArn::new(arn(&format!("{form}-{number}"))),
        resource: arn(resource),
        resource_type: kind.to_owned(),
        ..volume_point("1", "1", DateTime::UNIX_EPOCH).expect("these are ids")
    };
    let tags = [
        ("recovery:security-groups", "Db"),
        ("recovery:logical-id", "Subnets"),
        ("recovery:instances", "db.r6g.large"),
    ];
    world.add_point(point, &tags);
}
