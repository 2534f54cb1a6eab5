//! The disaster, step by step.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::arguments::{Adversity, Broken};
use crate::buckets::Buckets;
use crate::file_systems::FileSystems;
use crate::observations::{
    Archive, Drill, Planned, Played, Restore, RestoredStore, Returned, Stopped,
};
use crate::operator::Operator;
use crate::problem::Problem;
use crate::region::{LocalRegion, architecture};
use crate::routing::Routing;
use crate::servers::Servers;
use crate::setup::Workspace;
use crate::stores::Stores;
use crate::workload;
use crate::workload::{
    ACCOUNT, APPLIANCE, ARCHIVE, ASSETS, DRILL_STACK, FILE_SYSTEMS, MOUNT, OBJECTS, PRIMARY_REGION,
    Protected, STORES, Store, StoreKind, UNNOTICED, WORKLOAD,
};

/// Who may approve a recovery.
const APPROVER: &str = "arn:aws:iam::111122223333:role/on-call";
/// RTO 15 minutes, RPO 24 hours.
const TIME_TARGET: &str = "15";
const POINT_TARGET: &str = "1440";
/// The name of the drill's execution.
const DRILL: &str = "shop-drill-1";
/// The longest wait for two scheduled runs.
const SCHEDULE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// Plays the disaster on a new Region.
pub(crate) async fn play(
    region: &LocalRegion,
    workspace: &Workspace,
    template: &Path,
    binaries: &Path,
    adversity: Adversity,
    volumes: usize,
) -> Result<Played, Problem> {
    let operator = Operator::on(region);
    let stores = Stores::on(region);
    let file_systems = FileSystems::on(region);
    let buckets = Buckets::on(region);
    let servers = Servers::on(region);

    eprintln!("Deploying {} …", template.display());
    let foundation = region.deploy(
        &workspace.root.join("crates/rehearsal/foundation.yaml"),
        "foundation",
        binaries,
        &[],
        &[],
    )?;
    let routing = region.make_routing_controls()?;
    region.impair_routing()?;
    let system = region.deploy(
        template,
        "rapid-recovery",
        binaries,
        &[
            ("PrimaryRegion", PRIMARY_REGION),
            ("Responses", "track,notify,recover"),
            ("Heartbeat", "on"),
            ("RecoveryWorkload", WORKLOAD),
            ("RecoveryStateMachine", "own"),
            ("RecoveryApprovers", APPROVER),
            ("RecoveryTimeTargetMinutes", TIME_TARGET),
            ("RecoveryPointTargetMinutes", POINT_TARGET),
            (
                "WorkloadStackRoleArn",
                output(&foundation.outputs, "WorkloadStackRoleArn")?,
            ),
            (
                "RestoredInstanceRoleArns",
                output(&foundation.outputs, "ServerRoleArn")?,
            ),
            ("RoutingClusterEndpoints", &Routing::endpoints()),
            ("RoutingControlsOn", &routing.recovery.0),
            ("RoutingControlsOff", &routing.primary.0),
            ("Architecture", architecture()),
        ],
        // As samconfig.toml has it.
        &[("application", "rapid-recovery")],
    )?;
    let outputs = &system.outputs;
    let runbook = output(outputs, "StartRegionRecoveryName")?;
    let machine = output(outputs, "RegionRecoveryStateMachineArn")?;
    let bucket = output(outputs, "RecoveryBucketName")?;
    let vault = output(outputs, "RecoveryVaultArn")?;
    if adversity.unplugged {
        for rule in [
            "RestoreCompletedRule",
            "RestoreCompletedBucketRule",
            "RestoreCompletedDatabaseRule",
            "RestoreCompletedFileSystemRule",
            "RestoreCompletedInstanceRule",
            "RestoreCompletedTableRule",
        ] {
            region.disable_rule(&physical_id(&system.resources, rule)?)?;
        }
    }
    let functions: BTreeMap<String, String> = system
        .resources
        .iter()
        .filter(|(logical_id, _)| logical_id.ends_with("Function"))
        .map(|(logical_id, name)| (logical_id.clone(), name.clone()))
        .collect();
    let templates = format!("templates/{WORKLOAD}");
    let whole_template = workload::template(&workspace.root, volumes)?;
    operator
        .upload(bucket, &format!("{templates}.yaml"), whole_template.clone())
        .await?;
    let profile = output(&foundation.outputs, "InstanceProfileName")?;
    let parameters = workload::parameters(profile).to_string();
    operator
        .upload(bucket, &format!("{templates}.parameters.json"), parameters)
        .await?;

    eprintln!(
        "Backing up {} volumes, 4 databases, 2 tables, 2 file systems, 2 buckets and an instance, and copying their recovery points …",
        volumes + 5
    );
    operator.prepare_backups().await?;
    let tested = workload::by_hand("tested volume", Some("/dev/sdg"));
    let misplaced = workload::by_hand("misplaced volume", Some("/dev/sdh"));
    let second = workload::by_hand("volume restored by hand", None);
    let mut protected = workload::protected(volumes);
    protected.extend([tested, misplaced.clone(), second.clone()]);
    protected.extend(workload::rivals());
    let mut ids = Vec::new();
    for one in &protected {
        ids.push(operator.protect(one).await?);
    }
    let mut points = operator.back_up(&ids, vault).await?;
    let [tested_point, misplaced_point, second_point, _, _] = &points[volumes..] else {
        return Err(Problem::said("not every volume was backed up"));
    };
    let by_hand_points = [tested_point, misplaced_point, second_point].map(Clone::clone);
    points.truncate(volumes);
    let all_stores: Vec<Store> = STORES.into_iter().chain([UNNOTICED]).collect();
    let mut store_points = operator
        .back_up(&stores.protect(&all_stores).await?, vault)
        .await?;
    let unnoticed_point = store_points
        .pop()
        .ok_or_else(|| Problem::said("not every table was backed up"))?;
    let file_system_points = operator
        .back_up(&file_systems.protect(&FILE_SYSTEMS).await?, vault)
        .await?;
    let bucket_points = operator
        .back_up(&buckets.protect(&[ASSETS, ARCHIVE]).await?, vault)
        .await?;
    let [assets_point, archive_point] = &bucket_points[..] else {
        return Err(Problem::said("not every bucket was backed up"));
    };
    let appliance_point = operator
        .back_up(&[servers.protect(&APPLIANCE, profile).await?], vault)
        .await?
        .remove(0);

    eprintln!("Removing the tags of a volume's newest recovery point …");
    let untagged = operator.back_up(&ids[2..3], vault).await?.remove(0);
    operator.untag(&untagged).await?;
    points[2].clone_from(&untagged);

    eprintln!("Planning, and planning again after the next backup …");
    let planner = function(&functions, "RecoveryPlannerFunction")?;
    let request = json!({"workload": WORKLOAD, "mode": "recover"});
    let first = region.invoke(planner, &request)?;
    points[0] = operator.back_up(&ids[..1], vault).await?.remove(0);
    let mut looked_at = request.clone();
    looked_at["planHash"] = first["planHash"].clone();
    let changed = region.invoke(planner, &looked_at)?;
    let rivals = json!({"workload": workload::RIVALS, "mode": "recover"});
    let planned = Planned {
        first,
        changed,
        rivals: region.invoke(planner, &rivals)?,
        untagged,
    };

    if let Some(seed) = adversity.faults {
        region.disturb(&faults(seed))?;
    }
    if let Some(broken) = adversity.broken {
        break_it(
            region,
            &operator,
            workspace,
            bucket,
            broken,
            volumes,
            match broken {
                Broken::Table => &store_points[table()],
                Broken::Bucket => assets_point,
                _ => &points[1],
            },
        )
        .await?;
    }

    eprintln!("The primary Region fails …");
    let trouble = event(workspace, "health-issue-s3-get.json")?;
    let mut copy = trouble.clone();
    copy["id"] = json!("5c2d4f0e-7b1a-4d33-9f52-0a6c1e8b4d97");
    copy["detail"]["backupEvent"] = json!("true");
    let whole_region = event(workspace, "health-multiple-services.json")?;
    region.emit(&[trouble, whole_region])?;
    region.wait_until_idle()?;
    // AWS Health also sends a copy through the backup Region.
    region.emit(&[copy])?;
    region.wait_until_idle()?;

    // The heartbeat stops, which triggers the composite alarm. Each event arrives twice.
    for file in ["alarm-heartbeat-silent.json", "alarm-signals-agree.json"] {
        let mut alarm = event(workspace, file)?;
        let now = crate::region::now();
        alarm["time"] = json!(now.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        alarm["detail"]["state"]["timestamp"] =
            json!(now.format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string());
        region.emit(std::slice::from_ref(&alarm))?;
        region.wait_until_idle()?;
        region.emit(&[alarm])?;
        region.wait_until_idle()?;
    }

    eprintln!("Approving and running the recovery …");
    let asked = operator.executions(runbook).await?;
    region.expect_restores(planned_resources(volumes))?;
    for execution in &asked {
        let approved = execution.incident.contains("alarm/");
        operator.decide(&execution.id, approved).await?;
    }
    region.wait_until_idle()?;
    let started = operator.executions_of(machine).await?;
    let recoveries = started.len();
    let execution = started
        .into_iter()
        .next()
        .ok_or_else(|| Problem::said("the runbook started no recovery"))?;

    let stopped = match adversity.broken {
        None => None,
        Some(broken) => {
            let stopped = Stopped {
                recovery: operator.recovery(&execution, bucket).await?,
                routing: region.routing()?,
            };
            eprintln!("Fixing the broken step and redriving the recovery …");
            mend_it(region, &operator, &stores, bucket, broken, &whole_template).await?;
            // The repair took hours.
            region.forget_restore_tokens()?;
            operator.redrive(&execution).await?;
            Some(stopped)
        }
    };

    let recovered = operator.recovery(&execution, bucket).await?;
    if recovered.status != "SUCCEEDED" {
        // The next steps need the recovery.
        return Err(Problem::said(format!(
            "the recovery ended with {}: {}",
            recovered.status,
            recovered.cause.unwrap_or_default()
        )));
    }

    // Before the volumes: the schedule would also integrate these.
    eprintln!("Restoring a table while its event is lost, and waiting for the schedule …");
    let rule = physical_id(&system.resources, "RestoreCompletedTableRule")?;
    region.disable_rule(&rule)?;
    let role = output(outputs, "RestoreRoleArn")?;
    let unnoticed_job = operator
        .restore_table(&unnoticed_point, UNNOTICED.name, role)
        .await?;
    // Unplugged, the schedule runs soon by itself.
    if !adversity.unplugged {
        region.enable_rule(&rule)?;
        region.fire("ReconcileDueRule")?;
        region.wait_until_idle()?;
    }

    eprintln!("Restoring a bucket by hand without one of its objects, and again …");
    let archive_name = operator.resource(WORKLOAD, ARCHIVE.logical_id).await?;
    region.fail_objects(archive_point, &[OBJECTS[1].0])?;
    let first_job = operator
        .restore_bucket(archive_point, &archive_name, role)
        .await?;
    let first_objects = buckets.objects(&archive_name).await?.into_keys().collect();
    let archive_job = operator
        .restore_bucket(archive_point, &archive_name, role)
        .await?;

    eprintln!("Restoring more volumes by hand, one into the wrong zone …");
    let server = operator.instance_for(WORKLOAD, "Server").await?;
    let home = operator.zone_of(&server).await?;
    let elsewhere = format!("{}z", &home[..home.len() - 1]);
    let [tested_point, misplaced_point, second_point] = &by_hand_points;
    let misplaced_job = operator.restore(misplaced_point, &elsewhere).await?;
    region.run_restore_test(tested_point, &home)?;
    region.wait_until_idle()?;
    let second_job = operator.restore(second_point, &home).await?;
    region.wait_until_idle()?;

    eprintln!("Sending the event of a restore a second time …");
    let volume_job = operator
        .job_of(&points[0], "-RestoreRole")
        .await?
        .ok_or_else(|| Problem::said("the recovery restored nothing"))?;
    let mut again = event(workspace, "restore-completed-ebs.json")?;
    let made = operator.created(&volume_job).await?;
    again["resources"] = json!([points[0]]);
    again["detail"]["restoreJobId"] = json!(volume_job);
    again["detail"]["recoveryPointArn"] = json!(points[0]);
    again["detail"]["createdResourceArn"] = json!(made.arn);
    region.emit(&[again])?;
    region.wait_until_idle()?;

    if adversity.faults.is_some() {
        eprintln!("Ending the faults and replaying the failed events …");
        region.leave_in_peace()?;
    }
    if adversity.faults.is_some() || adversity.broken.is_some() {
        operator
            .run(output(outputs, "ReplayFailedEventsName")?)
            .await?;
        region.wait_until_idle()?;
    }
    if adversity.unplugged {
        eprintln!("Waiting for the schedule instead of an event …");
        wait_for_the_schedule(region).await?;
    }

    eprintln!("Running a drill in a separate stack, and its clean-up …");
    region.expect_restores(planned_resources(volumes))?;
    let drill = drill(
        region,
        &operator,
        (&stores, &file_systems, &buckets, &servers),
        machine,
        bucket,
        outputs,
    )
    .await?;

    let by_hand = region.invoke(
        function(&functions, "RestoreIntegratorFunction")?,
        &json!({"restoreJobId": volume_job}),
    )?;
    region.wait_until_idle()?;
    let recovery = operator.recovery(&execution, bucket).await?;
    let started_again = match operator.start(machine, &recovery.name, &request).await {
        Ok(arn) => format!("it was started: {arn}"),
        Err(code) => code,
    };

    let outcome = async |protected: &Protected, job: String, point: &str| {
        let volume = operator.created(&job).await?.id;
        Ok::<_, Problem>(Restore {
            name: protected.name.clone(),
            attached: operator.attachment(&volume).await?,
            job,
            volume,
            recovery_point: point.to_owned(),
            instance: operator
                .instance_for(WORKLOAD, &protected.logical_id)
                .await?,
            device: protected.device,
            mount: protected.mount,
        })
    };
    let mut restores = Vec::new();
    for (one, point) in protected.iter().zip(&points) {
        let job = operator
            .job_of(point, "-RestoreRole")
            .await?
            .ok_or_else(|| Problem::said(format!("the {} was not restored", one.name)))?;
        restores.push(outcome(one, job, point).await?);
    }
    let restored_store = async |store: Store, job: String, point: &str| {
        Ok::<_, Problem>(RestoredStore {
            job,
            recovery_point: point.to_owned(),
            state: stores.state(&store).await,
            expected: expected_state(&operator, &store).await?,
            published: stores.published(store.path).await?,
            addresses: stores.addresses(&store).await,
            store,
        })
    };
    let mut restored_stores = Vec::new();
    for (store, point) in STORES.into_iter().zip(&store_points) {
        let job = operator
            .job_of(point, "-RestoreRole")
            .await?
            .ok_or_else(|| Problem::said(format!("{} was not restored", store.name)))?;
        restored_stores.push(restored_store(store, job, point).await?);
    }
    let mut restored_file_systems = Vec::new();
    for (file_system, point) in FILE_SYSTEMS.into_iter().zip(&file_system_points) {
        let job = operator
            .job_of(point, "-RestoreRole")
            .await?
            .ok_or_else(|| Problem::said(format!("the {} was not restored", file_system.name)))?;
        restored_file_systems.push(
            file_systems
                .restored(&operator, &stores, file_system, job, point)
                .await?,
        );
    }
    let restored_job = async |name: &str, point: &str| {
        let job = operator.job_of(point, "-RestoreRole").await?;
        job.ok_or_else(|| Problem::said(format!("the {name} was not restored")))
    };
    let assets_job = restored_job("bucket", assets_point).await?;
    let appliance_job = restored_job(APPLIANCE.name, &appliance_point).await?;
    let mut restored_again = Vec::new();
    let all_points = points.iter().chain(&store_points);
    let all_points = all_points.chain(&file_system_points);
    for point in all_points.chain([assets_point, &appliance_point]) {
        let times = operator.restores_of(point, "-RestoreRole").await?;
        // Only a second restore adds the objects that the first one left out.
        let is_partial = adversity.broken == Some(Broken::Bucket) && point == assets_point;
        if times != 1 + usize::from(is_partial) {
            restored_again.push((point.clone(), times));
        }
    }

    eprintln!("Backing up again in the returned primary Region …");
    let begun_again = crate::region::now();
    operator.back_up(&ids[..1], vault).await?;
    let mut failed_back = request.clone();
    failed_back["primarySince"] = json!(begun_again.to_rfc3339());
    let returned = Returned {
        plan: region.invoke(planner, &request)?,
        failed_back: region.invoke(planner, &failed_back)?,
    };
    Ok(Played {
        planned,
        restores,
        stores: restored_stores,
        file_systems: restored_file_systems,
        assets: buckets
            .restored(&operator, &stores, ASSETS, assets_job, assets_point)
            .await?,
        appliance: servers
            .restored(
                &operator,
                &stores,
                APPLIANCE,
                appliance_job,
                &appliance_point,
            )
            .await?,
        archive: Archive {
            first_job,
            first_objects,
            restored: buckets
                .restored(&operator, &stores, ARCHIVE, archive_job, archive_point)
                .await?,
        },
        mounts: region.mounts()?,
        unnoticed: restored_store(UNNOTICED, unnoticed_job, &unnoticed_point).await?,
        misplaced: outcome(&misplaced, misplaced_job, misplaced_point).await?,
        second: outcome(&second, second_job, second_point).await?,
        test_volumes: operator.test_volumes().await?,
        items: operator.items().await?,
        asked,
        executions: operator.executions(runbook).await?,
        recoveries,
        stopped,
        recovery,
        routing: region.routing()?,
        started_again,
        drill,
        returned,
        restored_again,
        by_hand,
        functions,
        journal: region.journal()?,
        adversity,
    })
}

/// Runs a drill and its clean-up.
async fn drill(
    region: &LocalRegion,
    operator: &Operator<'_>,
    (stores, file_systems, buckets, servers): (&Stores<'_>, &FileSystems<'_>, &Buckets, &Servers),
    machine: &str,
    bucket: &str,
    outputs: &BTreeMap<String, String>,
) -> Result<Drill, Problem> {
    let request = json!({"workload": WORKLOAD, "mode": "drill", "stack": DRILL_STACK});
    let execution = operator
        .start(machine, DRILL, &request)
        .await
        .map_err(|code| Problem::said(format!("the drill was refused: {code}")))?;
    region.wait_until_idle()?;
    let recovery = operator.recovery(&execution, bucket).await?;
    let cleaner = output(outputs, "DrillCleanupStateMachineArn")?;
    let first_clean_up = match operator.executions_of(cleaner).await?.first() {
        None => "not started".to_owned(),
        Some(execution) => operator.recovery(execution, bucket).await?.status,
    };
    // CloudFormation deletes no bucket with objects (docs/drill.md).
    let versions_emptied = match operator.resource(DRILL_STACK, ASSETS.logical_id).await {
        Ok(name) => buckets.empty(&name).await?,
        Err(_) => 0,
    };
    let again = json!({"drill": DRILL, "stack": DRILL_STACK});
    let clean_up = operator
        .start(cleaner, "after-emptying", &again)
        .await
        .map_err(|code| Problem::said(format!("the clean-up was refused: {code}")))?;
    region.wait_until_idle()?;
    let items = recovery.said("/items").as_array().cloned();
    let server = items
        .into_iter()
        .flatten()
        .find(|item| item["type"] == "EC2")
        .and_then(|item| item["restoredArn"].as_str().map(str::to_owned))
        .ok_or_else(|| Problem::said("the report of the drill has no instance"))?;
    let server = server.rsplit('/').next().unwrap_or_default();
    Ok(Drill {
        server: servers.state(server).await,
        first_clean_up,
        versions_emptied,
        clean_up: operator.recovery(&clean_up, bucket).await?.status,
        recovery,
        stores_left: stores.left_by_drills().await?,
        file_systems_left: file_systems.left_by_drills().await?,
        volumes_left: operator.volumes_with("recovery:drill").await?,
        stack_left: operator.is_there(DRILL_STACK).await,
    })
}

/// Makes one step of the recovery fail permanently.
async fn break_it(
    region: &LocalRegion,
    operator: &Operator<'_>,
    workspace: &Workspace,
    bucket: &str,
    broken: Broken,
    volumes: usize,
    point: &str,
) -> Result<(), Problem> {
    let denied = |caller: &str, service: &str, operation: &str| json!([{"kind": "denied", "caller": caller, "service": service, "operation": operation, "count": 1_000_000}]);
    match broken {
        Broken::Stack => {
            let template = workload::broken_template(&workspace.root, volumes)?;
            operator
                .upload(bucket, &format!("templates/{WORKLOAD}.yaml"), template)
                .await
        }
        Broken::Restore => region.fail_restores(point, "Insufficient capacity", 2),
        Broken::Table => region.fail_restores(point, "The table could not be restored", 2),
        Broken::Database => region.end_in_status(database().name, Some("incompatible-network")),
        Broken::Cluster => region.disturb(&json!([{
            "kind": "refused",
            "caller": "DatabaseIntegratorFunction",
            "service": "rds",
            "operation": "CreateDBInstance",
            "code": "InstanceQuotaExceeded",
            "message": "Request would result in exceeding your allowable DB instances.",
            "count": 1_000_000,
        }])),
        Broken::Bucket => region.fail_objects(point, &[OBJECTS[0].0]),
        Broken::Mount => region.set_guest_files(&[&format!("{MOUNT}/left-over")]),
        Broken::Function => region.disturb(&denied(
            "RestoreStarterFunction",
            "backup",
            "StartRestoreJob",
        )),
        Broken::Report => region.disturb(&denied("RecoveryReporterFunction", "s3", "PutObject")),
    }
}

/// Fixes the cause.
async fn mend_it(
    region: &LocalRegion,
    operator: &Operator<'_>,
    stores: &Stores<'_>,
    bucket: &str,
    broken: Broken,
    whole_template: &str,
) -> Result<(), Problem> {
    match broken {
        Broken::Stack => {
            let key = format!("templates/{WORKLOAD}.yaml");
            operator
                .upload(bucket, &key, whole_template.to_owned())
                .await?;
            operator.delete_stack(WORKLOAD).await
        }
        // The injected failures are used up.
        Broken::Restore | Broken::Table | Broken::Bucket => Ok(()),
        Broken::Database => {
            region.end_in_status(database().name, None)?;
            stores.delete_database(database().name).await
        }
        Broken::Mount => region.set_guest_files(&[]),
        Broken::Cluster | Broken::Function | Broken::Report => region.leave_in_peace(),
    }
}

/// The number of resources in the plan.
fn planned_resources(volumes: usize) -> usize {
    // With the bucket and the instance.
    volumes + STORES.len() + FILE_SYSTEMS.len() + 2
}

/// The position of the table among the databases and tables.
fn table() -> usize {
    STORES.len() - 1
}

/// The DB instance of the workload.
fn database() -> Store {
    STORES[0]
}

/// The state that a restored database, cluster or table should have.
async fn expected_state(operator: &Operator<'_>, store: &Store) -> Result<Value, Problem> {
    let found = async |logical_id: &str| operator.resource(WORKLOAD, logical_id).await;
    let instances = [1, 2].map(|number| {
        json!([
            format!("{}-{number}", store.name),
            "db.serverless",
            "available"
        ])
    });
    Ok(match store.kind {
        StoreKind::Database => json!({
            "status": "available",
            "subnetGroup": found("DatabaseSubnets").await?,
            "securityGroups": [found("DatabaseSecurityGroup").await?],
            "parameterGroup": found("PostgresParameters").await?,
            "protected": true,
            "retention": 14,
        }),
        StoreKind::Cluster => json!({
            "status": "available",
            "subnetGroup": found("DatabaseSubnets").await?,
            "securityGroups": [found("DatabaseSecurityGroup").await?],
            "instances": instances,
            "scaling": [0.5, 8.0],
            "protected": true,
            "logs": ["postgresql"],
        }),
        StoreKind::DocumentDb | StoreKind::Neptune => json!({
            "status": "available",
            "subnetGroup": found("DatabaseSubnets").await?,
            "securityGroups": [found("DatabaseSecurityGroup").await?],
            "instances": [[format!("{}-1", store.name), "db.r6g.large", "available"]],
            "scaling": null,
            "protected": true,
            "logs": [],
        }),
        StoreKind::Table => {
            let is_planned = *store != UNNOTICED;
            json!({
                "status": "ACTIVE",
                "stream": is_planned.then_some("NEW_IMAGE"),
                "ttl": "expires",
                "pitr": if is_planned { "ENABLED" } else { "DISABLED" },
                "protected": is_planned,
                "item": true,
            })
        }
    })
}

/// Faults of all kinds for the calls of the functions, more than in any real disaster.
fn faults(seed: u64) -> Value {
    let often = |kind: &str, probability: f64, nth: u64| json!({"kind": kind, "probability": probability, "seed": seed.wrapping_add(nth)});
    let mut delayed = often("delayed", 0.1, 5);
    delayed["seconds"] = json!(0.3);
    json!([
        {"kind": "no-answer-after", "service": "ec2", "operation": "AttachVolume", "count": 1},
        {"kind": "reset-after", "service": "ssm", "operation": "CreateOpsItem", "count": 1},
        {"kind": "no-answer-before", "service": "cloudformation", "count": 1},
        often("throttled", 0.12, 1),
        often("server-error", 0.08, 2),
        often("reset-before", 0.06, 3),
        often("reset-after", 0.08, 4),
        delayed,
    ])
}

/// Waits for two scheduled runs, so that one complete period has passed.
async fn wait_for_the_schedule(region: &LocalRegion) -> Result<(), Problem> {
    let came = |journal: Vec<Value>| {
        let scheduled = |entry: &&Value| entry["detailType"] == "Scheduled Event";
        journal.iter().filter(scheduled).count()
    };
    let before = came(region.journal()?);
    let begun = std::time::Instant::now();
    while came(region.journal()?) < before + 2 {
        if begun.elapsed() > SCHEDULE_PATIENCE {
            return Err(Problem::said(
                "the schedule did not run. Check ReconcileDueRule in the template.",
            ));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    region.wait_until_idle()
}

fn physical_id(resources: &BTreeMap<String, String>, logical_id: &str) -> Result<String, Problem> {
    resources
        .get(logical_id)
        .cloned()
        .ok_or_else(|| Problem::said(format!("the template has no resource {logical_id}")))
}

fn output<'a>(outputs: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, Problem> {
    outputs
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| Problem::said(format!("the template has no output {name}")))
}

fn function<'a>(
    functions: &'a BTreeMap<String, String>,
    logical_id: &str,
) -> Result<&'a str, Problem> {
    functions
        .get(logical_id)
        .map(String::as_str)
        .ok_or_else(|| Problem::said(format!("the template has no {logical_id}")))
}

fn event(workspace: &Workspace, file: &str) -> Result<Value, Problem> {
    let path = workspace.root.join("events").join(file);
    let text = std::fs::read(&path)
        .map_err(|error| Problem::new(format!("{} could not be read", path.display()), error))?;
    let mut event: Value = serde_json::from_slice(&text)
        .map_err(|error| Problem::new(format!("{} is not JSON", path.display()), error))?;
    event["account"] = json!(ACCOUNT);
    Ok(event)
}
