//! The restore of a plan item: started, started before, failed before, and refused.

use chrono::{DateTime, TimeDelta};
use recovery_core::aws::arn::{Arn, RecoveryPointArn};
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::fakes::{FakeTable, World, attached_volume, volume_point};
use serde_json::{Value, json};

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::buckets::add_bucket;
use crate::support::disturbed::{Disturbed, finish};
use crate::support::file_systems::add_network;
use crate::support::repository::event;
use crate::support::restored::{INSTANCE, OTHER_INSTANCE, add_target, make_target_a_group};

/// The restore that the file requests: its recovery point is in the vault, its target exists.
fn of(name: &'static str, leads_to: &'static str) -> Scenario {
    let file = "manual-planned-restore";
    let world = World::new();
    add_target(&world, &event("restore-completed-ebs"));
    let point = volume_point(
        "0f1e2d3c4b5a69788",
        "0a1b2c3d4e5f60718",
        DateTime::UNIX_EPOCH,
    );
    let point = point.expect("these are ids");
    world.state().backups.points.push(point);
    Scenario::new(Function::RestoreStarter, name, file, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        of("start", "started"),
        of("drill", "started").with(in_a_drill),
        // Neither a recovery of the same plan nor an earlier drill of it has an effect.
        of("drill-after-others", "started")
            .given(|world| {
                started(world);
                deliver(
                    &of("", "")
                        .with(in_a_drill)
                        .with(|input| input["execution"]["name"] = json!("another")),
                    world,
                );
                world.state().backups.now += TimeDelta::days(1);
            })
            .with(in_a_drill)
            .with(|input| input["execution"]["startedAt"] = json!("2026-11-23T12:00:00Z")),
        of("group", "started").given(|world| make_target_a_group(world, &[INSTANCE])),
        of("started-before", "started").given(started),
        // The run that started it crashed before it recorded the job, hours ago.
        of("started-and-not-recorded", "started").given(|world| {
            started(world);
            world.state().backups.objects.clear();
        }),
        of("failed-before", "started").given(|world| {
            started(world);
            world.set_started("FAILED");
        }),
        // Another recovery has restored it.
        of("restored-by-another-recovery", "started").given(|world| {
            let another = of("", "").with(|input| input["execution"]["name"] = json!("another"));
            deliver(&another, world);
            world.set_started("COMPLETED");
            let mut state = world.state();
            let state = &mut *state;
            let volume = attached_volume("restored", "", DateTime::UNIX_EPOCH);
            for job in state.restore_jobs.values_mut() {
                let arn = format!("arn:aws:ec2:us-west-2:111122223333:volume/{}", volume.id);
                job.created_resource = Arn::parse(&arn).ok();
            }
            let mut volume = volume;
            volume.attachments.clear();
            state.volumes.insert(volume.id.clone(), volume);
        }),
        of("rejected", "refused/restore-rejected").given(|world| {
            world.state().backups.rejects = Some("Invalid metadata".to_owned());
        }),
        of("recovery-point-gone", "refused/point-gone")
            .given(|world| world.state().backups.points.clear()),
        of("several-instances", "refused/several-instances")
            .given(|world| make_target_a_group(world, &[INSTANCE, OTHER_INSTANCE])),
        database("database", "started", "RDS", "snapshot"),
        database("cluster", "started", "Aurora", "cluster-snapshot"),
        database("database-in-a-drill", "started", "RDS", "snapshot").with(in_a_drill),
        database("references-missing-at-first", "pending", "RDS", "snapshot")
            .given(|world| world.state().tagged_resources.clear())
            .then(add_subnet_group),
        // Only a complete stack shows that there is no second one.
        database("only-subnet-group", "started", "RDS", "snapshot")
            .given(|world| {
                add_resource(world, "Subnets", "AWS::RDS::DBSubnetGroup", "orders");
            })
            .with(|input| input["item"]["target"]["subnetGroup"] = json!(null)),
        database("stack-failed", "refused/stack-failed", "RDS", "snapshot")
            .with(|input| input["stackProblems"] = json!("infrastructure/shop-1/0/"))
            .given(|world| {
                let problem = json!({"why": "a quota", "remedy": "Raise it."}).to_string();
                let key = "infrastructure/shop-1/0/shop.json".to_owned();
                world.state().backups.objects.insert(key, problem);
            }),
        file_system("efs", "started", "EFS"),
        file_system("efs-in-a-drill", "started", "EFS").with(in_a_drill),
        file_system("fsx", "started", "FSx"),
        restored_file_system("efs-restored-before", "EFS"),
        restored_file_system("fsx-restored-before", "FSx"),
        restored_volume("ontap-restored-before"),
        file_system(
            "fsx-without-type",
            "refused/file-system-type-unknown",
            "FSx",
        )
        .given(|world| world.state().backups.metadata.clear()),
        file_system("subnets-missing-at-first", "pending", "FSx")
            .given(|world| world.state().stack_resources.clear())
            .then(|world| add_network(world, "shop")),
        bucket("bucket", "started"),
        bucket("bucket-in-a-drill", "started").with(in_a_drill),
        bucket("bucket-restored-in-part", "started").given(|world| {
            deliver(&bucket("", ""), world);
            let mut state = world.state();
            for job in state.restore_jobs.values_mut() {
                job.resource_type = Some("S3".to_owned());
                job.status = Some("COMPLETED".to_owned());
                job.status_message = Some("One or more objects failed to be restored.".to_owned());
            }
        }),
        bucket("bucket-without-versions", "refused/bucket-not-versioned").given(|world| {
            for bucket in world.state().buckets.values_mut() {
                bucket.versioned = false;
            }
        }),
        bucket("bucket-missing-at-first", "pending")
            .given(|world| world.state().buckets.clear())
            .then(|world| add_bucket(world, "shop")),
        instance("instance", "started"),
        instance("instance-in-a-drill", "started").with(in_a_drill),
        restored_before(
            || instance("instance-restored-before", "started"),
            "arn:aws:ec2:us-west-2:111122223333:instance/i-1",
        ),
        instance("instance-of-the-stack", "refused/stack-instance")
            .given(|world| add_resource(world, "Web", "AWS::EC2::Instance", "i-9"))
            .with(|input| input["item"]["target"]["ownLogicalId"] = json!("Web")),
        instance("instance-without-image", "refused/image-unusable")
            .given(|world| world.state().servers.images.clear()),
        instance("instance-network-missing-at-first", "pending")
            .given(|world| world.state().stack_resources.clear())
            .then(add_instance_network),
        table("table", "started"),
        table("table-of-another", "refused/name-taken").given(|world| {
            let arn = "arn:aws:dynamodb:us-west-2:111122223333:table/sessions";
            let arn = Arn::parse(arn).expect("this is an ARN");
            let table = FakeTable::restored(arn, DateTime::UNIX_EPOCH);
            world.state().tables.insert("sessions".to_owned(), table);
        }),
        of("stack-missing-at-first", "pending")
            .given(|world| world.state().stack_resources.clear())
            .then(|world| add_target(world, &event("restore-completed-ebs"))),
    ]
}

/// The restore of a database, whose subnet group has a tag and whose security group is in the stack.
fn database(
    name: &'static str,
    leads_to: &'static str,
    kind: &'static str,
    form: &'static str,
) -> Scenario {
    let point = format!("arn:aws:rds:us-west-2:111122223333:{form}:awsbackup:copyjob-1");
    of(name, leads_to)
        .given(|world| {
            let arn = Arn::parse(&point).expect("this is an ARN");
            world.state().backups.points[0].arn = RecoveryPointArn::new(arn);
            add_subnet_group(world);
            add_resource(world, "DbGroup", "AWS::EC2::SecurityGroup", "sg-0a1b2c3d");
        })
        .with(|input| {
            input["item"]["type"] = json!(kind);
            input["item"]["recoveryPointArn"] = json!(point);
            input["item"]["target"] = json!({
                "kind": "database", "identifier": "orders", "stack": "shop",
                "subnetGroup": "tag:Name=orders", "securityGroups": ["prefix:Db"],
            });
        })
}

fn add_subnet_group(world: &World) {
    let arn = "arn:aws:rds:us-west-2:111122223333:subgrp:orders";
    let arn = Arn::parse(arn).expect("this is an ARN");
    let tag = ["rds:subgrp", "Name", "orders"].map(str::to_owned).into();
    world.state().tagged_resources.insert(tag, vec![arn]);
}

fn table(name: &'static str, leads_to: &'static str) -> Scenario {
    let point = "arn:aws:backup:us-west-2:111122223333:recovery-point:1";
    of(name, leads_to)
        .given(|world| {
            let arn = Arn::parse(point).expect("this is an ARN");
            world.state().backups.points[0].arn = RecoveryPointArn::new(arn);
        })
        .with(|input| {
            input["item"]["type"] = json!("DynamoDB");
            input["item"]["recoveryPointArn"] = json!(point);
            input["item"]["target"] = json!({"kind": "table", "name": "sessions"});
        })
}

/// The restore of a bucket into one of the stack `shop`.
fn bucket(name: &'static str, leads_to: &'static str) -> Scenario {
    let point = "arn:aws:backup:us-west-2:111122223333:recovery-point:orders-1";
    of(name, leads_to)
        .given(|world| {
            let arn = Arn::parse(point).expect("this is an ARN");
            world.state().backups.points[0].arn = RecoveryPointArn::new(arn);
            add_bucket(world, "shop");
        })
        .with(|input| {
            let item = &mut input["item"];
            item["type"] = json!("S3");
            item["resourceArn"] = json!("arn:aws:s3:::orders");
            item["recoveryPointArn"] = json!(point);
            item["target"] = json!({"kind": "bucket", "stack": "shop", "bucket": "Assets"});
        })
}

/// The restore of an instance from its image, into the network of the stack `shop`.
fn instance(name: &'static str, leads_to: &'static str) -> Scenario {
    let point = "arn:aws:ec2:us-west-2::image/ami-1";
    of(name, leads_to)
        .given(|world| {
            world.add_image();
            add_instance_network(world);
            let mut state = world.state();
            let arn = Arn::parse(point).expect("this is an ARN");
            state.backups.points[0].arn = RecoveryPointArn::new(arn);
            let stored = [
                ("InstanceType", "m7g.large"),
                ("IamInstanceProfileName", "web"),
            ];
            let stored = stored.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let metadata = &mut state.backups.metadata;
            metadata.insert(point.to_owned(), stored.into());
        })
        .with(|input| {
            let item = &mut input["item"];
            item["type"] = json!("EC2");
            item["resourceArn"] = json!("arn:aws:ec2:us-east-1:111122223333:instance/i-0");
            item["recoveryPointArn"] = json!(point);
            item["target"] =
                json!({"kind": "instance", "stack": "shop", "securityGroups": ["WebGroup"]});
        })
}

fn add_instance_network(world: &World) {
    add_resource(world, "Subnet", "AWS::EC2::Subnet", "subnet-1");
    add_resource(world, "WebGroup", "AWS::EC2::SecurityGroup", "sg-1");
}

/// A resource of the stack `shop`.
fn add_resource(world: &World, logical_id: &str, resource_type: &str, id: &str) {
    let resource = StackResource {
        resource_type: resource_type.to_owned(),
        physical_id: Some(id.to_owned()),
        status: "CREATE_COMPLETE".into(),
    };
    let key = ("shop".to_owned(), logical_id.to_owned());
    world.state().stack_resources.insert(key, resource);
}

/// The restore of a file system, whose network is in the stack `shop`.
fn file_system(name: &'static str, leads_to: &'static str, of_type: &'static str) -> Scenario {
    let (point, resource) = match of_type {
        "EFS" => (
            "arn:aws:backup:us-west-2:111122223333:recovery-point:1",
            "arn:aws:elasticfilesystem:us-east-1:111122223333:file-system/fs-1",
        ),
        _ => (
            "arn:aws:fsx:us-west-2:111122223333:backup/backup-1",
            "arn:aws:fsx:us-east-1:111122223333:file-system/fs-2",
        ),
    };
    of(name, leads_to)
        .given(move |world| {
            world.add_subnets();
            add_network(world, "shop");
            let mut state = world.state();
            for listed in &mut state.backups.points {
                listed.arn = RecoveryPointArn::parse(point).expect("this is an ARN");
                listed.resource = Arn::parse(resource).expect("this is an ARN");
                listed.resource_type = of_type.to_owned();
            }
            let lustre = r#"{"DeploymentType":"PERSISTENT_2"}"#;
            let stored = [("LustreConfiguration".to_owned(), lustre.to_owned())];
            state
                .backups
                .metadata
                .insert(point.to_owned(), stored.into());
        })
        .with(move |input| {
            let item = &mut input["item"];
            item["resourceArn"] = json!(resource);
            item["recoveryPointArn"] = json!(point);
            item["type"] = json!(of_type);
            item["target"] =
                json!({"kind": "fileSystem", "stack": "shop", "securityGroups": ["Nfs"]});
        })
}

/// The same, and another recovery has restored it.
fn restored_file_system(name: &'static str, of_type: &'static str) -> Scenario {
    let created = match of_type {
        "EFS" => "arn:aws:elasticfilesystem:us-west-2:111122223333:file-system/fs-1",
        _ => "arn:aws:fsx:us-west-2:111122223333:file-system/fs-2",
    };
    let of = || file_system(name, "started", of_type);
    restored_before(of, created)
}

/// The same for a volume of ONTAP.
fn restored_volume(name: &'static str) -> Scenario {
    let of = || {
        file_system(name, "started", "FSx")
            .given(|world| {
                add_resource(world, "Svm", "AWS::FSx::StorageVirtualMachine", "svm-3");
            })
            .with(|input| {
                let item = &mut input["item"];
                let volume = "arn:aws:fsx:us-east-1:111122223333:volume/fs-0/fsvol-0";
                item["resourceArn"] = json!(volume);
                item["target"] = json!({"kind": "fileSystem", "stack": "shop"});
            })
    };
    let created = "arn:aws:fsx:us-west-2:111122223333:volume/fs-3/fsvol-3";
    restored_before(of, created)
}

fn restored_before(of: impl Fn() -> Scenario, created: &str) -> Scenario {
    let another = of().with(|input| input["execution"]["name"] = json!("another"));
    of().given(|world| {
        deliver(&another, world);
        world.set_started("COMPLETED");
        world.add_restored_efs(&[]);
        world.add_restored_lustre(&[]);
        world.add_restored_ontap_volume(&[]);
        world.add_restored_server(&[]);
        let mut state = world.state();
        state.restore_jobs.remove("job-fs");
        state.restore_jobs.remove("job-instance");
        for job in state.restore_jobs.values_mut() {
            job.created_resource = Arn::parse(created).ok();
        }
    })
}

/// The item is restored for a drill.
fn in_a_drill(input: &mut Value) {
    input["mode"] = json!("drill");
    input["execution"]["name"] = json!("shop-drill-1");
}

/// It was started before.
fn started(world: &World) {
    deliver(&of("", ""), world);
}

fn deliver(scenario: &Scenario, world: &World) {
    let ports = Disturbed::not(world);
    finish(scenario.deliver(&ports)).expect("nothing fails");
    world.forget_tokens();
}
