//! The disaster, step by step, and what the Region looked like at the end.

use std::collections::BTreeMap;
use std::path::Path;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification, VolumeType};
use aws_sdk_ssm::types::{OpsItemFilter, OpsItemFilterKey, OpsItemFilterOperator, SignalType};
use serde_json::{Value, json};

use crate::arguments::Adversity;
use crate::problem::Problem;
use crate::region::{ACCOUNT, LocalRegion, PRIMARY_REGION, architecture};
use crate::setup::Workspace;

/// The vault that the copies of the primary Region's recovery points are in.
const VAULT: &str = "recovery-vault";
/// The role that AWS Backup restores with. The local Region does not look at it.
const BACKUP_ROLE: &str = "arn:aws:iam::111122223333:role/service-role/AWSBackupDefaultServiceRole";
/// Who may approve a recovery.
const APPROVER: &str = "arn:aws:iam::111122223333:role/on-call";

/// Longest wait for the schedule to come twice.
const SCHEDULE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// A volume that is protected in the story.
struct Protected {
    name: &'static str,
    logical_id: &'static str,
    device: Option<&'static str>,
}

const DATABASE: Protected = Protected {
    name: "database volume",
    logical_id: "Database",
    device: Some("/dev/sdf"),
};
const WEB: Protected = Protected {
    name: "web volume",
    logical_id: "Web",
    device: None,
};
const TESTED: Protected = Protected {
    name: "tested volume",
    logical_id: "Database",
    device: Some("/dev/sdg"),
};
const MISPLACED: Protected = Protected {
    name: "misplaced volume",
    logical_id: "Database",
    device: Some("/dev/sdh"),
};
const SECOND: Protected = Protected {
    name: "second database volume",
    logical_id: "Database",
    device: None,
};

/// A restore of the story and what became of it.
#[derive(Debug)]
pub(crate) struct Restore {
    /// What was restored, in words.
    pub(crate) name: &'static str,
    pub(crate) job: String,
    pub(crate) volume: String,
    pub(crate) recovery_point: String,
    /// The instance it belongs to.
    pub(crate) instance: String,
    /// What the owner asked it to be attached as.
    pub(crate) device: Option<&'static str>,
    /// Where it is attached now: instance and device.
    pub(crate) attached: Option<(String, String)>,
}

/// An OpsItem at the end.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) status: String,
    pub(crate) severity: String,
    /// What it is about.
    pub(crate) key: String,
    /// The items it refers to.
    pub(crate) related: Vec<String>,
}

/// An execution of the recovery runbook.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) id: String,
    /// What it was started for.
    pub(crate) incident: String,
    pub(crate) status: String,
}

/// Everything that the story leaves behind.
#[derive(Debug)]
pub(crate) struct Played {
    /// Physical names of the functions by logical id.
    pub(crate) functions: BTreeMap<String, String>,
    pub(crate) database: Restore,
    pub(crate) web: Restore,
    pub(crate) misplaced: Restore,
    /// Restored when everything is warm.
    pub(crate) second: Restore,
    /// Volumes that restore tests made: id and where they are attached.
    pub(crate) test_volumes: Vec<(String, Option<String>)>,
    /// The oldest first.
    pub(crate) items: Vec<Item>,
    /// Executions of the recovery runbook as they asked for approval.
    pub(crate) asked: Vec<Execution>,
    /// The same at the end.
    pub(crate) executions: Vec<Execution>,
    /// The answer of the function that was invoked by hand.
    pub(crate) by_hand: Value,
    /// The Region's journal.
    pub(crate) journal: Vec<Value>,
    /// What was in the way.
    pub(crate) adversity: Adversity,
}

/// Plays the story on a Region that has just started.
pub(crate) async fn play(
    region: &LocalRegion,
    workspace: &Workspace,
    template: &Path,
    binaries: &Path,
    adversity: Adversity,
) -> Result<Played, Problem> {
    let config = region.sdk_config();
    let hand = Hand {
        region,
        ec2: aws_sdk_ec2::Client::new(&config),
        backup: aws_sdk_backup::Client::new(&config),
        ssm: aws_sdk_ssm::Client::new(&config),
    };

    eprintln!("Deploying the workload and {} …", template.display());
    let workload = region.deploy(
        &workspace.root.join("crates/rehearsal/workload.yaml"),
        "shop",
        binaries,
        &[("ImageId", "ami-0123456789abcdef0")],
    )?;
    let system = region.deploy(
        template,
        "rapid-recovery",
        binaries,
        &[
            ("PrimaryRegion", PRIMARY_REGION),
            ("Responses", "track,notify,recover"),
            ("Heartbeat", "on"),
            ("RecoveryWorkload", "shop"),
            ("RecoveryStateMachine", "region-recovery"),
            ("RecoveryApprovers", APPROVER),
            ("Architecture", architecture()),
        ],
    )?;
    let runbook = system
        .outputs
        .get("StartRegionRecoveryName")
        .ok_or_else(|| Problem::said("the template has no output StartRegionRecoveryName"))?;
    if adversity.unplugged {
        region.disable_rule(&physical_id(&system.resources, "RestoreCompletedRule")?)?;
    }
    if let Some(seed) = adversity.faults {
        region.disturb(&faults(seed))?;
    }
    let functions: BTreeMap<String, String> = system
        .resources
        .into_iter()
        .filter(|(logical_id, _)| logical_id.ends_with("Function"))
        .collect();
    let database = physical_id(&workload.resources, "Database")?;
    let group = physical_id(&workload.resources, "Web")?;
    let database_zone = hand.zone_of(&database).await?;
    let web = hand.instance_of_group(&group).await?;
    let web_zone = hand.zone_of(&web).await?;

    eprintln!("Backing up five volumes …");
    hand.backup
        .create_backup_vault()
        .backup_vault_name(VAULT)
        .send()
        .await
        .map_err(|error| Problem::new("the vault could not be made", error))?;
    let mut points = Vec::new();
    for protected in [&DATABASE, &WEB, &TESTED, &MISPLACED, &SECOND] {
        points.push(hand.back_up(protected, &database_zone).await?);
    }
    let [
        database_point,
        web_point,
        tested_point,
        misplaced_point,
        second_point,
    ] = &points[..]
    else {
        return Err(Problem::said("not every volume was backed up"));
    };
    region.wait_until_idle()?;

    eprintln!("The primary Region fails …");
    let trouble = event(workspace, "health-issue-s3-get.json")?;
    let mut copy = trouble.clone();
    copy["id"] = json!("5c2d4f0e-7b1a-4d33-9f52-0a6c1e8b4d97");
    copy["detail"]["backupEvent"] = json!("true");
    let whole_region = event(workspace, "health-multiple-services.json")?;
    region.emit(&[trouble, whole_region])?;
    region.wait_until_idle()?;
    // AWS Health sends a copy through the backup Region as well.
    region.emit(&[copy])?;
    region.wait_until_idle()?;

    // The heartbeat stops, and with it the signals agree. Each event comes twice.
    for file in ["alarm-heartbeat-silent.json", "alarm-signals-agree.json"] {
        let alarm = event(workspace, file)?;
        region.emit(std::slice::from_ref(&alarm))?;
        region.wait_until_idle()?;
        region.emit(&[alarm])?;
        region.wait_until_idle()?;
    }

    eprintln!("Someone decides …");
    let asked = hand.executions(runbook).await?;
    for execution in &asked {
        let approved = execution.incident.contains("alarm/");
        hand.decide(&execution.id, approved).await?;
    }
    region.wait_until_idle()?;

    eprintln!("Restoring …");
    let wrong_zone = if database_zone == web_zone {
        format!("{}z", &web_zone[..web_zone.len() - 1])
    } else {
        web_zone.clone()
    };
    let database_job = hand.restore(database_point, &database_zone).await?;
    let web_job = hand.restore(web_point, &web_zone).await?;
    let misplaced_job = hand.restore(misplaced_point, &wrong_zone).await?;
    region.run_restore_test(tested_point, &database_zone)?;
    region.wait_until_idle()?;

    eprintln!("The event of a restore comes a second time …");
    let mut again = event(workspace, "restore-completed-ebs.json")?;
    let made = hand.created_volume(&database_job).await?;
    again["resources"] = json!([database_point]);
    again["detail"]["restoreJobId"] = json!(database_job);
    again["detail"]["recoveryPointArn"] = json!(database_point);
    again["detail"]["createdResourceArn"] = json!(made.arn);
    region.emit(&[again])?;
    region.wait_until_idle()?;

    eprintln!("One more restore, now that everything is warm …");
    let second_job = hand.restore(second_point, &database_zone).await?;
    region.wait_until_idle()?;

    if adversity.faults.is_some() {
        eprintln!("The faults end, and what failed for good is replayed …");
        region.leave_in_peace()?;
        let replay = system
            .outputs
            .get("ReplayFailedEventsName")
            .ok_or_else(|| Problem::said("the template has no output ReplayFailedEventsName"))?;
        hand.run(replay).await?;
        region.wait_until_idle()?;
    }
    if adversity.unplugged {
        eprintln!("No event comes; the schedule does …");
        wait_for_the_schedule(region).await?;
    }

    let by_hand = region.invoke(
        functions
            .get("RestoreIntegratorFunction")
            .ok_or_else(|| Problem::said("the template has no RestoreIntegratorFunction"))?,
        &json!({"restoreJobId": database_job}),
    )?;
    region.wait_until_idle()?;

    let outcome = async |protected: &Protected, job: String, point: &str, instance: &str| {
        let volume = hand.created_volume(&job).await?.id;
        Ok::<_, Problem>(Restore {
            name: protected.name,
            attached: hand.attachment(&volume).await?,
            job,
            volume,
            recovery_point: point.to_owned(),
            instance: instance.to_owned(),
            device: protected.device,
        })
    };
    Ok(Played {
        database: outcome(&DATABASE, database_job, database_point, &database).await?,
        web: outcome(&WEB, web_job, web_point, &web).await?,
        misplaced: outcome(&MISPLACED, misplaced_job, misplaced_point, &database).await?,
        second: outcome(&SECOND, second_job, second_point, &database).await?,
        test_volumes: hand.test_volumes().await?,
        items: hand.items().await?,
        asked,
        executions: hand.executions(runbook).await?,
        by_hand,
        functions,
        journal: region.journal()?,
        adversity,
    })
}

/// Faults of every kind for the functions' calls, more than any real bad day has.
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

/// Waits until the schedule has come twice from now on: one whole period lies between.
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
                "the schedule did not come. Look at ReconcileDueRule in the template.",
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
        .ok_or_else(|| Problem::said(format!("the workload's stack has no resource {logical_id}")))
}

fn event(workspace: &Workspace, file: &str) -> Result<Value, Problem> {
    let path = workspace.root.join("events").join(file);
    let text = std::fs::read(&path)
        .map_err(|error| Problem::new(format!("{} could not be read", path.display()), error))?;
    let mut event: Value = serde_json::from_slice(&text)
        .map_err(|error| Problem::new(format!("{} is no JSON", path.display()), error))?;
    event["account"] = json!(ACCOUNT);
    Ok(event)
}

/// What a restore made.
struct Made {
    id: String,
    arn: String,
}

/// The engineer's hand: the calls that a person or AWS Backup makes in the story.
struct Hand<'a> {
    region: &'a LocalRegion,
    ec2: aws_sdk_ec2::Client,
    backup: aws_sdk_backup::Client,
    ssm: aws_sdk_ssm::Client,
}

impl Hand<'_> {
    async fn zone_of(&self, instance: &str) -> Result<String, Problem> {
        self.ec2
            .describe_instances()
            .instance_ids(instance)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{instance} could not be looked at"), error))?
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances())
            .find_map(|instance| instance.placement()?.availability_zone().map(str::to_owned))
            .ok_or_else(|| Problem::said(format!("{instance} has no Availability Zone")))
    }

    async fn instance_of_group(&self, group: &str) -> Result<String, Problem> {
        self.ec2
            .describe_instances()
            .filters(
                aws_sdk_ec2::types::Filter::builder()
                    .name("tag:aws:autoscaling:groupName")
                    .values(group)
                    .build(),
            )
            .send()
            .await
            .map_err(|error| {
                Problem::new(
                    format!("the instances of {group} could not be looked at"),
                    error,
                )
            })?
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances())
            .find_map(|instance| instance.instance_id().map(str::to_owned))
            .ok_or_else(|| Problem::said(format!("the Auto Scaling group {group} has no instance")))
    }

    /// Makes a tagged volume and backs it up; answers the ARN of the recovery point.
    async fn back_up(&self, protected: &Protected, zone: &str) -> Result<String, Problem> {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let mut tags = vec![
            tag("Name", protected.name),
            tag("recovery:workload", "shop"),
            tag("recovery:stack", "shop"),
            tag("recovery:logical-id", protected.logical_id),
        ];
        tags.extend(
            protected
                .device
                .map(|device| tag("recovery:device", device)),
        );
        let volume = self
            .ec2
            .create_volume()
            .availability_zone(zone)
            .size(8)
            .volume_type(VolumeType::Gp3)
            .tag_specifications(
                TagSpecification::builder()
                    .resource_type(ResourceType::Volume)
                    .set_tags(Some(tags))
                    .build(),
            )
            .send()
            .await
            .map_err(|error| {
                Problem::new(format!("the {} could not be made", protected.name), error)
            })?
            .volume_id
            .ok_or_else(|| Problem::said("a volume has no id"))?;
        let job = self
            .backup
            .start_backup_job()
            .backup_vault_name(VAULT)
            .resource_arn(format!(
                "arn:aws:ec2:{}:{ACCOUNT}:volume/{volume}",
                crate::region::REGION
            ))
            .iam_role_arn(BACKUP_ROLE)
            .send()
            .await
            .map_err(|error| {
                Problem::new(
                    format!("the {} could not be backed up", protected.name),
                    error,
                )
            })?;
        self.region.wait_until_idle()?;
        let id = job
            .backup_job_id
            .ok_or_else(|| Problem::said("a backup job has no id"))?;
        self.backup
            .describe_backup_job()
            .backup_job_id(&id)
            .send()
            .await
            .map_err(|error| {
                Problem::new(format!("backup job {id} could not be looked at"), error)
            })?
            .recovery_point_arn
            .ok_or_else(|| Problem::said(format!("backup job {id} made no recovery point")))
    }

    async fn restore(&self, point: &str, zone: &str) -> Result<String, Problem> {
        self.backup
            .start_restore_job()
            .recovery_point_arn(point)
            .metadata("availabilityZone", zone)
            .iam_role_arn(BACKUP_ROLE)
            .resource_type("EBS")
            .send()
            .await
            .map_err(|error| {
                Problem::new(
                    format!("the restore of {point} could not be started"),
                    error,
                )
            })?
            .restore_job_id
            .ok_or_else(|| Problem::said("a restore job has no id"))
    }

    async fn created_volume(&self, job: &str) -> Result<Made, Problem> {
        let arn = self
            .backup
            .describe_restore_job()
            .restore_job_id(job)
            .send()
            .await
            .map_err(|error| {
                Problem::new(format!("restore job {job} could not be looked at"), error)
            })?
            .created_resource_arn
            .ok_or_else(|| Problem::said(format!("restore job {job} made nothing")))?;
        let id = arn.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Made { id, arn })
    }

    async fn attachment(&self, volume: &str) -> Result<Option<(String, String)>, Problem> {
        Ok(self
            .ec2
            .describe_volumes()
            .volume_ids(volume)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{volume} could not be looked at"), error))?
            .volumes()
            .iter()
            .flat_map(|volume| volume.attachments())
            .find_map(|attachment| {
                Some((
                    attachment.instance_id()?.to_owned(),
                    attachment.device()?.to_owned(),
                ))
            }))
    }

    async fn test_volumes(&self) -> Result<Vec<(String, Option<String>)>, Problem> {
        Ok(self
            .ec2
            .describe_volumes()
            .filters(
                aws_sdk_ec2::types::Filter::builder()
                    .name("tag-key")
                    .values("awsbackup-restore-test")
                    .build(),
            )
            .send()
            .await
            .map_err(|error| {
                Problem::new("the volumes of restore tests could not be looked at", error)
            })?
            .volumes()
            .iter()
            .filter_map(|volume| {
                let attached = volume
                    .attachments()
                    .iter()
                    .find_map(|attachment| attachment.instance_id());
                Some((volume.volume_id()?.to_owned(), attached.map(str::to_owned)))
            })
            .collect())
    }

    /// The executions of `runbook`, by what they were started for.
    async fn executions(&self, runbook: &str) -> Result<Vec<Execution>, Problem> {
        let listed = self
            .ssm
            .describe_automation_executions()
            .send()
            .await
            .map_err(|error| {
                Problem::new("the executions of runbooks could not be listed", error)
            })?;
        let mut executions = Vec::new();
        for execution in listed.automation_execution_metadata_list() {
            if execution.document_name() != Some(runbook) {
                continue;
            }
            let id = execution.automation_execution_id().unwrap_or_default();
            let whole = self
                .ssm
                .get_automation_execution()
                .automation_execution_id(id)
                .send()
                .await
                .map_err(|error| {
                    Problem::new(format!("execution {id} could not be looked at"), error)
                })?;
            let incident = whole
                .automation_execution()
                .and_then(|execution| execution.parameters()?.get("Incident")?.first().cloned());
            let status = execution.automation_execution_status();
            executions.push(Execution {
                id: id.to_owned(),
                incident: incident.unwrap_or_default(),
                status: status.map_or("", |status| status.as_str()).to_owned(),
            });
        }
        executions.sort_by(|a, b| a.incident.cmp(&b.incident));
        Ok(executions)
    }

    /// Starts a runbook of the template.
    async fn run(&self, runbook: &str) -> Result<(), Problem> {
        self.ssm
            .start_automation_execution()
            .document_name(runbook)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{runbook} could not be started"), error))?;
        Ok(())
    }

    /// Approves or denies what an execution waits for.
    async fn decide(&self, execution: &str, approved: bool) -> Result<(), Problem> {
        let signal = if approved {
            SignalType::Approve
        } else {
            SignalType::Reject
        };
        self.ssm
            .send_automation_signal()
            .automation_execution_id(execution)
            .signal_type(signal)
            .send()
            .await
            .map_err(|error| {
                Problem::new(format!("execution {execution} took no decision"), error)
            })?;
        Ok(())
    }

    async fn items(&self) -> Result<Vec<Item>, Problem> {
        let ours = OpsItemFilter::builder()
            .key(OpsItemFilterKey::Source)
            .operator(OpsItemFilterOperator::Equal)
            .values("rapid-recovery")
            .build()
            .map_err(|error| Problem::new("the filter for OpsItems could not be made", error))?;
        let mut pages = self
            .ssm
            .describe_ops_items()
            .ops_item_filters(ours)
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            let item =
                item.map_err(|error| Problem::new("the OpsItems could not be listed", error))?;
            let key = item
                .operational_data()
                .and_then(|data| data.get("recovery:key")?.value());
            let id = item.ops_item_id().unwrap_or_default().to_owned();
            let whole = self
                .ssm
                .get_ops_item()
                .ops_item_id(&id)
                .send()
                .await
                .map_err(|error| Problem::new(format!("{id} could not be looked at"), error))?;
            let related = whole
                .ops_item()
                .map_or(&[][..], |item| item.related_ops_items())
                .iter()
                .map(|related| related.ops_item_id().to_owned())
                .collect();
            let created = item.created_time().map_or(0, |time| time.as_nanos());
            let item = Item {
                id,
                title: item.title().unwrap_or_default().to_owned(),
                status: item
                    .status()
                    .map_or("", |status| status.as_str())
                    .to_owned(),
                severity: item.severity().unwrap_or_default().to_owned(),
                key: key.unwrap_or_default().to_owned(),
                related,
            };
            items.push((created, item));
        }
        items.sort_by_key(|(created, _)| *created);
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }
}
