//! The operator: the manual calls of the rehearsal, and those of the plans of AWS Backup.

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification, VolumeType};
use aws_sdk_ssm::types::{OpsItemFilter, OpsItemFilterKey, OpsItemFilterOperator, SignalType};
use serde_json::Value;

use crate::observations::{Execution, Item};
use crate::problem::Problem;
use crate::recovery::Recovery;
use crate::region::LocalRegion;
use crate::workload::{ACCOUNT, PRIMARY_REGION, Protected, REGION, WORKLOAD};

/// The vault of the primary Region.
const PRIMARY_VAULT: &str = "primary-vault";
/// The role for backups, copies and manual restores.
const BACKUP_ROLE: &str = "arn:aws:iam::111122223333:role/service-role/AWSBackupDefaultServiceRole";

/// A restored resource.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) arn: String,
}

/// Clients with the operator's credentials.
pub(crate) struct Operator<'a> {
    region: &'a LocalRegion,
    ec2: aws_sdk_ec2::Client,
    backup: aws_sdk_backup::Client,
    primary_ec2: aws_sdk_ec2::Client,
    primary_backup: aws_sdk_backup::Client,
    cloudformation: aws_sdk_cloudformation::Client,
    s3: aws_sdk_s3::Client,
    sfn: aws_sdk_sfn::Client,
    ssm: aws_sdk_ssm::Client,
}

impl<'a> Operator<'a> {
    pub(crate) fn on(region: &'a LocalRegion) -> Operator<'a> {
        let config = region.sdk_config(REGION);
        let primary = region.sdk_config(PRIMARY_REGION);
        // Path-style addressing: bucket names are not host names of this machine.
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(true)
            .build();
        Operator {
            region,
            ec2: aws_sdk_ec2::Client::new(&config),
            backup: aws_sdk_backup::Client::new(&config),
            primary_ec2: aws_sdk_ec2::Client::new(&primary),
            primary_backup: aws_sdk_backup::Client::new(&primary),
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sfn: aws_sdk_sfn::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
        }
    }

    /// The id of a stack's resource.
    pub(crate) async fn resource(&self, stack: &str, logical_id: &str) -> Result<String, Problem> {
        self.cloudformation
            .describe_stack_resource()
            .stack_name(stack)
            .logical_resource_id(logical_id)
            .send()
            .await
            .map_err(|error| {
                Problem::new(
                    format!("{logical_id} of {stack} could not be described"),
                    error,
                )
            })?
            .stack_resource_detail
            .and_then(|detail| detail.physical_resource_id)
            .ok_or_else(|| Problem::said(format!("{logical_id} of {stack} has no id")))
    }

    /// Whether the stack exists.
    pub(crate) async fn is_there(&self, stack: &str) -> bool {
        let described = self.cloudformation.describe_stacks().stack_name(stack);
        described.send().await.is_ok()
    }

    pub(crate) async fn delete_stack(&self, stack: &str) -> Result<(), Problem> {
        self.cloudformation
            .delete_stack()
            .stack_name(stack)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{stack} could not be deleted"), error))?;
        self.region.wait_until_idle()
    }

    /// The instance that volumes for this logical id belong to.
    pub(crate) async fn instance_for(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<String, Problem> {
        let instances = self.instances_for(stack, logical_id).await?;
        instances.into_iter().next().ok_or_else(|| {
            Problem::said(format!(
                "the Auto Scaling group {logical_id} has no instance"
            ))
        })
    }

    /// The instance with this logical id, or the running instances of the group.
    pub(crate) async fn instances_for(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<Vec<String>, Problem> {
        let id = self.resource(stack, logical_id).await?;
        if id.starts_with("i-") {
            Ok(vec![id])
        } else {
            self.instances_of_group(&id).await
        }
    }

    pub(crate) async fn upload(
        &self,
        bucket: &str,
        key: &str,
        body: String,
    ) -> Result<(), Problem> {
        self.s3
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(body.into_bytes().into())
            .send()
            .await
            .map_err(|error| {
                Problem::new(format!("{key} could not be stored in {bucket}"), error)
            })?;
        Ok(())
    }

    /// An object; `None` if it does not exist.
    pub(crate) async fn object(&self, bucket: &str, key: &str) -> Option<String> {
        let object = self.s3.get_object().bucket(bucket).key(key).send().await;
        let bytes = object.ok()?.body.collect().await.ok()?.into_bytes();
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// Starts a state machine. Returns the ARN of the execution, or the error code.
    pub(crate) async fn start(
        &self,
        machine: &str,
        name: &str,
        input: &Value,
    ) -> Result<String, String> {
        let started = self
            .sfn
            .start_execution()
            .state_machine_arn(machine)
            .name(name)
            .input(input.to_string())
            .send()
            .await;
        match started {
            Ok(started) => Ok(started.execution_arn),
            Err(error) => {
                use aws_sdk_sfn::error::ProvideErrorMetadata;
                Err(error.code().unwrap_or("no answer").to_owned())
            }
        }
    }

    pub(crate) async fn redrive(&self, execution: &str) -> Result<(), Problem> {
        self.sfn
            .redrive_execution()
            .execution_arn(execution)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{execution} could not be redriven"), error))?;
        self.region.wait_until_idle()
    }

    /// The ARNs of a state machine's executions, without children of Maps.
    pub(crate) async fn executions_of(&self, machine: &str) -> Result<Vec<String>, Problem> {
        let listed = self
            .sfn
            .list_executions()
            .state_machine_arn(machine)
            .send()
            .await
            .map_err(|error| {
                Problem::new(
                    format!("the executions of {machine} could not be listed"),
                    error,
                )
            })?;
        Ok(listed
            .executions
            .into_iter()
            .map(|execution| execution.execution_arn)
            .collect())
    }

    /// The current state of an execution of the recovery, with its report.
    pub(crate) async fn recovery(
        &self,
        execution: &str,
        bucket: &str,
    ) -> Result<Recovery, Problem> {
        let described = self
            .sfn
            .describe_execution()
            .execution_arn(execution)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{execution} could not be described"), error))?;
        let mut history = self
            .sfn
            .get_execution_history()
            .execution_arn(execution)
            .into_paginator()
            .items()
            .send();
        let mut events = 0;
        while let Some(event) = history.next().await {
            event.map_err(|error| {
                Problem::new(
                    format!("the history of {execution} could not be read"),
                    error,
                )
            })?;
            events += 1;
        }
        let name = described.name.unwrap_or_default();
        let redrives = described.redrive_count.unwrap_or_default();
        let key = format!("reports/{WORKLOAD}/{name}/{redrives}");
        let report = self.object(bucket, &format!("{key}.json")).await;
        Ok(Recovery {
            arn: execution.to_owned(),
            name,
            status: described.status.as_str().to_owned(),
            cause: described.cause,
            redrives,
            events,
            report: report.and_then(|text| serde_json::from_str(&text).ok()),
            page: self.object(bucket, &format!("{key}.html")).await,
        })
    }

    /// The number of volumes with this tag.
    pub(crate) async fn volumes_with(&self, tag: &str) -> Result<usize, Problem> {
        Ok(self
            .ec2
            .describe_volumes()
            .filters(
                aws_sdk_ec2::types::Filter::builder()
                    .name("tag-key")
                    .values(tag)
                    .build(),
            )
            .send()
            .await
            .map_err(|error| {
                Problem::new(format!("volumes with {tag} could not be listed"), error)
            })?
            .volumes()
            .len())
    }

    /// The newest restore job of this recovery point with a role of this name.
    pub(crate) async fn job_of(&self, point: &str, role: &str) -> Result<Option<String>, Problem> {
        let mut jobs = self
            .backup
            .list_restore_jobs()
            .into_paginator()
            .items()
            .send();
        let mut newest = None;
        while let Some(job) = jobs.next().await {
            let job =
                job.map_err(|error| Problem::new("the restore jobs could not be listed", error))?;
            let ours = job.recovery_point_arn() == Some(point)
                && job
                    .status()
                    .is_some_and(|status| status.as_str() == "COMPLETED")
                && job.iam_role_arn().is_some_and(|arn| arn.contains(role));
            if ours {
                let created = job.creation_date().map_or(0, |date| date.as_nanos());
                let id = job.restore_job_id().unwrap_or_default().to_owned();
                newest = newest.max(Some((created, id)));
            }
        }
        Ok(newest.map(|(_, id)| id))
    }

    /// The number of restores of this recovery point, with a role of this name, that did not fail.
    pub(crate) async fn restores_of(&self, point: &str, role: &str) -> Result<usize, Problem> {
        let mut jobs = self
            .backup
            .list_restore_jobs()
            .into_paginator()
            .items()
            .send();
        let mut restores = 0;
        while let Some(job) = jobs.next().await {
            let job =
                job.map_err(|error| Problem::new("the restore jobs could not be listed", error))?;
            let failed = job
                .status()
                .is_some_and(|status| ["FAILED", "ABORTED"].contains(&status.as_str()));
            let ours = job.recovery_point_arn() == Some(point)
                && job.iam_role_arn().is_some_and(|arn| arn.contains(role));
            restores += usize::from(ours && !failed);
        }
        Ok(restores)
    }

    pub(crate) async fn zone_of(&self, instance: &str) -> Result<String, Problem> {
        self.ec2
            .describe_instances()
            .instance_ids(instance)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{instance} could not be described"), error))?
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances())
            .find_map(|instance| instance.placement()?.availability_zone().map(str::to_owned))
            .ok_or_else(|| Problem::said(format!("{instance} has no Availability Zone")))
    }

    async fn instances_of_group(&self, group: &str) -> Result<Vec<String>, Problem> {
        let filter = |name: &str, value: &str| {
            aws_sdk_ec2::types::Filter::builder()
                .name(name)
                .values(value)
                .build()
        };
        Ok(self
            .ec2
            .describe_instances()
            .filters(filter("tag:aws:autoscaling:groupName", group))
            .filters(filter("instance-state-name", "running"))
            .send()
            .await
            .map_err(|error| {
                Problem::new(
                    format!("the instances of {group} could not be described"),
                    error,
                )
            })?
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances())
            .filter_map(|instance| instance.instance_id().map(str::to_owned))
            .collect())
    }

    /// Prepares AWS Backup in the primary Region: a vault, and the advanced features for tables.
    pub(crate) async fn prepare_backups(&self) -> Result<(), Problem> {
        self.primary_backup
            .create_backup_vault()
            .backup_vault_name(PRIMARY_VAULT)
            .send()
            .await
            .map_err(|error| {
                Problem::new(
                    "the vault of the primary Region could not be created",
                    error,
                )
            })?;
        self.primary_backup
            .update_region_settings()
            .resource_type_management_preference("DynamoDB", true)
            .send()
            .await
            .map_err(|error| {
                Problem::new(
                    "the advanced features for tables could not be enabled",
                    error,
                )
            })?;
        Ok(())
    }

    /// Creates a tagged volume in the primary Region. Returns its ARN.
    pub(crate) async fn protect(&self, protected: &Protected) -> Result<String, Problem> {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let mut tags = vec![
            tag("Name", &protected.name),
            tag("recovery:stack", WORKLOAD),
            tag("recovery:logical-id", &protected.logical_id),
        ];
        if let Some(workload) = protected.workload {
            tags.push(tag("recovery:workload", workload));
            tags.push(tag("recovery:wave", &protected.wave.to_string()));
        }
        tags.extend(
            protected
                .device
                .map(|device| tag("recovery:device", device)),
        );
        tags.extend(protected.mount.map(|path| tag("recovery:mount", path)));
        let created = self
            .primary_ec2
            .create_volume()
            .availability_zone(format!("{PRIMARY_REGION}a"))
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
                Problem::new(
                    format!("the {} could not be created", protected.name),
                    error,
                )
            })?
            .volume_id
            .ok_or_else(|| Problem::said("a volume has no id"))?;
        Ok(format!(
            "arn:aws:ec2:{PRIMARY_REGION}:{ACCOUNT}:volume/{created}"
        ))
    }

    /// Removes all tags of a recovery point, as if AWS Backup could not tag it.
    pub(crate) async fn untag(&self, point: &str) -> Result<(), Problem> {
        let id = point.rsplit('/').next().unwrap_or_default();
        let keys = [
            "Name",
            "recovery:stack",
            "recovery:logical-id",
            "recovery:workload",
            "recovery:wave",
            "recovery:device",
            "recovery:mount",
        ];
        let tags = keys.map(|key| Tag::builder().key(key).build());
        self.ec2
            .delete_tags()
            .resources(id)
            .set_tags(Some(tags.into()))
            .send()
            .await
            .map_err(|error| Problem::new(format!("{id} could not be untagged"), error))?;
        Ok(())
    }

    /// Backs up the volumes and copies the recovery points to `vault`, like a backup plan. Returns the ARNs of the copies.
    pub(crate) async fn back_up(
        &self,
        resources: &[String],
        vault: &str,
    ) -> Result<Vec<String>, Problem> {
        let mut jobs = Vec::new();
        for resource in resources {
            let job = self
                .primary_backup
                .start_backup_job()
                .backup_vault_name(PRIMARY_VAULT)
                .resource_arn(resource)
                .iam_role_arn(BACKUP_ROLE)
                .send()
                .await
                .map_err(|error| {
                    Problem::new(format!("{resource} could not be backed up"), error)
                })?;
            jobs.push(job.backup_job_id.unwrap_or_default());
        }
        self.region.wait_until_idle()?;
        let mut copies = Vec::new();
        for job in jobs {
            let point = self
                .primary_backup
                .describe_backup_job()
                .backup_job_id(&job)
                .send()
                .await
                .map_err(|error| {
                    Problem::new(format!("backup job {job} could not be described"), error)
                })?
                .recovery_point_arn
                .ok_or_else(|| {
                    Problem::said(format!("backup job {job} created no recovery point"))
                })?;
            let copy = self
                .primary_backup
                .start_copy_job()
                .recovery_point_arn(&point)
                .source_backup_vault_name(PRIMARY_VAULT)
                .destination_backup_vault_arn(vault)
                .iam_role_arn(BACKUP_ROLE)
                .send()
                .await
                .map_err(|error| Problem::new(format!("{point} could not be copied"), error))?;
            copies.push(copy.copy_job_id.unwrap_or_default());
        }
        self.region.wait_until_idle()?;
        let mut points = Vec::new();
        for job in copies {
            let point = self
                .primary_backup
                .describe_copy_job()
                .copy_job_id(&job)
                .send()
                .await
                .map_err(|error| {
                    Problem::new(format!("copy job {job} could not be described"), error)
                })?
                .copy_job
                .and_then(|job| job.destination_recovery_point_arn)
                .ok_or_else(|| {
                    Problem::said(format!("copy job {job} created no recovery point"))
                })?;
            points.push(point);
        }
        Ok(points)
    }

    /// Restores a volume by hand.
    pub(crate) async fn restore(&self, point: &str, zone: &str) -> Result<String, Problem> {
        let metadata = [("availabilityZone", zone)];
        self.start_restore(point, "EBS", &metadata, BACKUP_ROLE)
            .await
    }

    /// Restores a table by hand, with the role of the template.
    pub(crate) async fn restore_table(
        &self,
        point: &str,
        name: &str,
        role: &str,
    ) -> Result<String, Problem> {
        let metadata = [("targetTableName", name), ("encryptionType", "Default")];
        let job = self
            .start_restore(point, "DynamoDB", &metadata, role)
            .await?;
        self.region.wait_until_idle()?;
        Ok(job)
    }

    /// Restores objects by hand into a bucket, with the role of the template.
    pub(crate) async fn restore_bucket(
        &self,
        point: &str,
        bucket: &str,
        role: &str,
    ) -> Result<String, Problem> {
        let metadata = [
            ("DestinationBucketName", bucket),
            ("EncryptionType", "SSE-S3"),
            ("RestoreACLs", "false"),
        ];
        let job = self.start_restore(point, "S3", &metadata, role).await?;
        self.region.wait_until_idle()?;
        Ok(job)
    }

    async fn start_restore(
        &self,
        point: &str,
        resource_type: &str,
        metadata: &[(&str, &str)],
        role: &str,
    ) -> Result<String, Problem> {
        let metadata = metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.backup
            .start_restore_job()
            .recovery_point_arn(point)
            .set_metadata(Some(metadata.collect()))
            .iam_role_arn(role)
            .resource_type(resource_type)
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

    /// What a restore job restored.
    pub(crate) async fn created(&self, job: &str) -> Result<Made, Problem> {
        let arn = self
            .backup
            .describe_restore_job()
            .restore_job_id(job)
            .send()
            .await
            .map_err(|error| {
                Problem::new(format!("restore job {job} could not be described"), error)
            })?
            .created_resource_arn
            .ok_or_else(|| Problem::said(format!("restore job {job} created no resource")))?;
        let id = arn.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Made { id, arn })
    }

    pub(crate) async fn attachment(
        &self,
        volume: &str,
    ) -> Result<Option<(String, String)>, Problem> {
        Ok(self
            .ec2
            .describe_volumes()
            .volume_ids(volume)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{volume} could not be described"), error))?
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

    pub(crate) async fn test_volumes(&self) -> Result<Vec<(String, Option<String>)>, Problem> {
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
                Problem::new("the volumes of restore tests could not be described", error)
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

    /// The executions of `runbook`, with their incidents.
    pub(crate) async fn executions(&self, runbook: &str) -> Result<Vec<Execution>, Problem> {
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
                    Problem::new(format!("execution {id} could not be described"), error)
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
    pub(crate) async fn run(&self, runbook: &str) -> Result<(), Problem> {
        self.ssm
            .start_automation_execution()
            .document_name(runbook)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{runbook} could not be started"), error))?;
        Ok(())
    }

    /// Approves or denies an execution.
    pub(crate) async fn decide(&self, execution: &str, approved: bool) -> Result<(), Problem> {
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
                Problem::new(
                    format!("execution {execution} did not accept the decision"),
                    error,
                )
            })?;
        Ok(())
    }

    pub(crate) async fn items(&self) -> Result<Vec<Item>, Problem> {
        let ours = OpsItemFilter::builder()
            .key(OpsItemFilterKey::Source)
            .operator(OpsItemFilterOperator::Equal)
            .values("rapid-recovery")
            .build()
            .map_err(|error| Problem::new("the filter for OpsItems could not be built", error))?;
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
                .map_err(|error| Problem::new(format!("{id} could not be described"), error))?;
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
