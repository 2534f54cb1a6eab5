//! A small world in memory behind the ports, with a log of the calls and scripted failures.
//!
//! It behaves as AWS does where the deciding code depends on it: a volume is attached once, a
//! device name is taken once, an open OpsItem stands in the way of a second one with its key.

mod acceptable;
mod buckets;
mod databases;
mod fail_over;
mod file_systems;
mod intercepted;
mod mounts;
mod parameters;
mod phases;
mod records;
mod recovery;
mod restore_tests;
mod servers;
mod stacks;
mod story;
mod tables;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::aws::arn::{
    Arn, InstanceId, OpsItemId, RecoveryPointArn, RestoreJobId, TagHome, VolumeId,
};
use crate::aws::auto_scaling::{Group, Member};
use crate::aws::backup::{EBS, RestoreJob};
use crate::aws::cloudformation::{StackResource, StackState};
use crate::aws::ec2::{AttachAnswer, Attachment, DeviceName, Instance, Volume};
use crate::error::{Error, Fault, OPS_ITEM_QUOTA};
use crate::notification::Notification;
use crate::ops_item::{Claim, ItemKey, KIND, NewOpsItem, OpsItem, OpsItemChange, Severity, Status};
use crate::ports::{
    AutoScalingGroups, Clock, Functions, Instances, Notifications, OpsItems, RecoveryPointTags,
    Runbooks, SNAPSHOTS_AT_ONCE, VOLUMES_AT_ONCE, Volumes,
};
use crate::report::measures::Measures;
use crate::tags::{PLANNED, Tags};

pub use buckets::FakeBucket;
pub use databases::Databases;
pub use fail_over::{Cluster, Recoveries};
pub use file_systems::FileSystems;
pub use intercepted::{Call, Effect, Intercepted, Interceptor, answered};
pub use mounts::{MountExecution, Mounts};
pub use parameters::Parameter;
pub use records::{attached_volume, completed_job};
pub use recovery::{Backups, volume_point};
pub use restore_tests::Tests;
pub use servers::{LOAD_BALANCER, Servers, TARGET_GROUP};
pub use story::{Progress, Story, StoryItem};
pub use tables::FakeTable;

/// The role of the restores in the world that are not a drill's.
pub const RESTORE_ROLE: &str = "arn:aws:iam::111122223333:role/restore";
/// The role of a drill's restores.
pub const DRILL_ROLE: &str = "arn:aws:iam::111122223333:role/drill-restore";

/// How a scripted call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Throttled: nothing happened.
    Throttled,
    /// The answer is lost, though the call took effect.
    AnswerLost,
    /// Access denied.
    Denied,
}

/// What comes between a volume and its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachTrouble {
    /// The volume is being modified.
    Modifying,
    /// EC2 does not accept this device name.
    Device(&'static str),
    /// The key cannot be used.
    Key,
    /// The volume has a product code of AWS Marketplace.
    ProductCode,
    /// EC2 does not attach such a volume to such an instance.
    Unsupported,
    /// The attachment is accepted, and the volume does not exist any more.
    Vanishes,
}

impl State {
    /// The lifecycle state of an instance in its group.
    fn lifecycle(&self, id: &InstanceId) -> String {
        let follows = || {
            let instance = self.instances.get(id);
            match instance.map(|instance| instance.state.as_str()) {
                Some("pending") => "Pending",
                Some("running") => "InService",
                _ => "Terminating",
            }
            .to_owned()
        };
        self.lifecycles.get(id).cloned().unwrap_or_else(follows)
    }
}

/// An OpsItem with everything that was ever written to it.
#[derive(Debug, Clone)]
pub struct StoredItem {
    /// The item as the ports show it.
    pub item: OpsItem,
    /// Its key.
    pub key: ItemKey,
    /// Its title now.
    pub title: String,
    /// Its description now.
    pub description: String,
    /// Its severity now.
    pub severity: Severity,
    /// The items it refers to.
    pub related: Vec<OpsItemId>,
}

/// A runbook that was started, and its parameters.
pub type Execution = (String, Vec<(&'static str, String)>);

/// What there is in the world.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Restore jobs by id.
    pub restore_jobs: BTreeMap<String, RestoreJob>,
    /// Tags of recovery points by ARN.
    pub tags: BTreeMap<String, Tags>,
    /// Stack resources by stack and logical id.
    pub stack_resources: BTreeMap<(String, String), StackResource>,
    /// States of stacks. Other stacks are complete if they have resources, and do not exist if they have none.
    pub stack_states: BTreeMap<String, StackState>,
    /// ARNs of resources with tags, by the type in the tagging API and the tag.
    pub tagged_resources: BTreeMap<(String, String, String), Vec<Arn>>,
    /// Volumes by id.
    pub volumes: BTreeMap<VolumeId, Volume>,
    /// Instances by id.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// Instances of Auto Scaling groups.
    pub groups: BTreeMap<String, Vec<InstanceId>>,
    /// Lifecycle states of their instances, where they do not follow from what EC2 shows.
    pub lifecycles: BTreeMap<InstanceId, String>,
    /// Desired capacities of groups; others want as many instances as they have.
    pub capacities: BTreeMap<String, usize>,
    /// What comes of this many next attempts to attach, whatever else there is.
    pub attach_trouble: Option<(AttachTrouble, usize)>,
    /// Whether an attachment that EC2 accepts never comes to be.
    pub drops_attachments: bool,
    /// OpsItems, the oldest first.
    pub items: Vec<StoredItem>,
    /// Notifications sent.
    pub notifications: Vec<Notification>,
    /// Executions by token: runbook and parameters.
    pub executions: BTreeMap<String, Execution>,
    /// Recovery points, stored plans and started restores.
    pub backups: Backups,
    /// Databases of RDS.
    pub databases: Databases,
    /// File systems of EFS and FSx, and subnets.
    pub file_systems: FileSystems,
    /// S3 buckets by name.
    pub buckets: BTreeMap<String, FakeBucket>,
    /// Restored instances, images and target groups.
    pub servers: Servers,
    /// DynamoDB tables by name.
    pub tables: BTreeMap<String, FakeTable>,
    /// The runbook that mounts.
    pub mounts: Mounts,
    /// Parameters of Parameter Store by name.
    pub parameters: BTreeMap<String, Parameter>,
    /// Functions that were invoked, with their payloads.
    pub invocations: Vec<(String, serde_json::Value)>,
    /// Metrics, as they were recorded.
    pub measures: Vec<Measures>,
    /// Routing controls.
    pub cluster: Cluster,
    /// Executions of the state machine that recovers.
    pub recoveries: Recoveries,
    /// Calls made, each as `operation subject`.
    pub calls: Vec<String>,
    /// Calls of `volume` until one that is `creating` shows as `available`; `None`: never.
    pub reads_until_created: Option<usize>,
    /// Calls of `volume` that do not show an attachment at all.
    pub reads_until_shown: usize,
    /// Calls of `volume` until an accepted attachment shows as attached.
    pub reads_until_attached: usize,
    /// Restore tests, what they made and of what.
    pub restore_tests: Tests,
    /// Device names that EC2 says are in use although no instance shows them.
    pub hidden_devices: BTreeSet<String>,
    /// What was written that AWS would not take, or that could mislead the people who read it.
    pub problems: Vec<String>,
    /// Restore jobs on one page of the listing: 1000, unless a test needs another number.
    pub jobs_on_a_page: Option<usize>,
    /// The order of restore jobs in the listing: by id, or another one for each number but 0.
    pub order_of_jobs: u64,
    /// OpsItems that OpsCenter does not list yet.
    pub unlisted: BTreeSet<OpsItemId>,
    /// Volumes that an instance takes at most.
    pub volumes_for_each_instance: Option<usize>,
    /// Whether OpsCenter's quota lets no OpsItem be created.
    pub ops_item_quota_reached: bool,
    failures: BTreeMap<&'static str, VecDeque<Option<Failure>>>,
    attachments_made: usize,
}

/// The world.
#[derive(Debug, Default)]
pub struct World {
    state: Mutex<State>,
}

impl Clone for World {
    /// An independent copy of the world.
    fn clone(&self) -> World {
        World {
            state: Mutex::new(self.state().clone()),
        }
    }
}

impl World {
    /// An empty world.
    pub fn new() -> World {
        World::default()
    }

    /// The world with one completed restore of an EBS volume for one running instance:
    /// job `job-1`, volume `vol-1`, snapshot `snap-1`, instance `i-1` as `Server` in stack `shop`.
    pub fn with_restored_volume() -> World {
        let world = World::new();
        world.add_restored_volume("1", &[]);
        {
            let mut state = world.state();
            state.stack_resources.insert(
                ("shop".to_owned(), "Server".to_owned()),
                StackResource {
                    resource_type: "AWS::EC2::Instance".to_owned(),
                    physical_id: Some("i-1".to_owned()),
                    status: "CREATE_COMPLETE".into(),
                },
            );
            let instance = Instance {
                id: InstanceId::new("i-1"),
                state: "running".into(),
                zone: "us-west-2a".to_owned(),
                devices: Vec::new(),
            };
            state.instances.insert(instance.id.clone(), instance);
        }
        world
    }

    /// Adds a completed restore of an EBS volume that belongs to `Server` in stack `shop`:
    /// `job-N`, `vol-N`, `snap-N`, with `extra` tags.
    pub fn add_restored_volume(&self, n: &str, extra: &[(&str, &str)]) {
        let mut state = self.state();
        let point = format!("arn:aws:ec2:us-west-2::snapshot/snap-{n}");
        let volume = Volume {
            id: VolumeId::new(format!("vol-{n}")),
            state: "available".into(),
            zone: "us-west-2a".to_owned(),
            attachments: Vec::new(),
            key: None,
            restore_test: false,
            owner: None,
            size: Some(8),
            encrypted: Some(true),
            snapshot: Some(format!("snap-{n}")),
        };
        state.volumes.insert(volume.id.clone(), volume);
        let tags = [
            ("recovery:stack", "shop"),
            ("recovery:logical-id", "Server"),
        ]
        .iter()
        .chain(extra)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
        state.tags.insert(point.clone(), tags);
        let job = RestoreJob {
            id: RestoreJobId::new(format!("job-{n}")),
            status: Some("COMPLETED".to_owned()),
            status_message: None,
            resource_type: Some(EBS.to_owned()),
            created_resource: Arn::parse(&format!(
                "arn:aws:ec2:us-west-2:111122223333:volume/vol-{n}"
            ))
            .ok(),
            recovery_point: RecoveryPointArn::parse(&point).ok(),
            other_forms: Vec::new(),
            source_resource: None,
            iam_role: Arn::parse(RESTORE_ROLE).ok(),
            restore_test: false,
            created: None,
            completed: FakeClock::new()
                .now()
                .checked_sub_signed(chrono::TimeDelta::seconds(42)),
        };
        state.restore_jobs.insert(job.id.to_string(), job);
    }

    /// The state of the world, to set up and to check.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next call of `operation` that has nothing scripted yet fail so.
    pub fn fail(&self, operation: &'static str, failure: Failure) {
        self.script(operation, Some(failure));
    }

    /// Lets the next call of `operation` that has nothing scripted yet succeed.
    pub fn pass(&self, operation: &'static str) {
        self.script(operation, None);
    }

    fn script(&self, operation: &'static str, failure: Option<Failure>) {
        self.state()
            .failures
            .entry(operation)
            .or_default()
            .push_back(failure);
    }

    /// The calls made so far.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// How many attachments were ever made.
    pub fn attachments_made(&self) -> usize {
        self.state().attachments_made
    }

    fn call<T>(
        &self,
        operation: &'static str,
        subject: &str,
        effect: impl FnOnce(&mut State) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = self.state();
        state.calls.push(format!("{operation} {subject}"));
        let failure = state
            .failures
            .get_mut(operation)
            .and_then(VecDeque::pop_front)
            .flatten();
        let fault = |code: &str| {
            Fault::new(operation, subject, "scripted failure", "Nothing to do.").with_code(code)
        };
        match failure {
            Some(Failure::Throttled) => Err(Error::Retryable(fault("RequestLimitExceeded"))),
            Some(Failure::Denied) => Err(Error::Permanent(fault("UnauthorizedOperation"))),
            Some(Failure::AnswerLost) => {
                effect(&mut state)?;
                Err(Error::Retryable(fault("timeout")))
            }
            None => effect(&mut state),
        }
    }
}

fn not_found(operation: &'static str, subject: &str) -> Error {
    Error::Retryable(Fault::new(
        operation,
        subject,
        "not found",
        "Wait until it shows.",
    ))
}

fn too_many_values(operation: &'static str) -> Error {
    Error::Permanent(
        Fault::new(operation, "filter", "too many values", "Ask for fewer.")
            .with_code("FilterLimitExceeded"),
    )
}

/// Makes a volume in the state `creating` available after `reads` reads.
fn create_in_time(reads: &mut Option<usize>, volume: &mut Volume) {
    match reads {
        Some(0) if volume.state.as_str() == "creating" => volume.state = "available".into(),
        Some(reads) => *reads = reads.saturating_sub(1),
        None => {}
    }
}

/// The IAM action that the tags of this recovery point are asked for with.
///
/// # Errors
/// [`Error::Permanent`] where no service is asked for the tags of recovery points of this form.
pub fn tags_operation(point: &RecoveryPointArn) -> Result<&'static str, Error> {
    match point.tag_home() {
        TagHome::Ec2(_) => Ok("ec2:DescribeTags"),
        TagHome::Backup => Ok("backup:ListTags"),
        TagHome::Rds => Ok("rds:ListTagsForResource"),
        TagHome::Fsx => Ok("fsx:ListTagsForResource"),
        TagHome::Elsewhere => Err(Error::Permanent(Fault::new(
            "read tags",
            point.as_str(),
            "kept by a service that is not asked",
            "Attach the volume by hand.",
        ))),
    }
}

impl RecoveryPointTags for World {
    async fn list(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        let operation = tags_operation(point)?;
        self.call(operation, point.as_str(), |state| {
            match (state.tags.get(point.as_str()), point.tag_home()) {
                (Some(tags), _) => Ok(tags.clone()),
                // To a filter by a snapshot that EC2 does not know, it answers with nothing.
                (None, TagHome::Ec2(_)) => Ok(Tags::new()),
                (None, _) => Err(Error::Permanent(
                    Fault::new(
                        operation,
                        point.as_str(),
                        "no such resource",
                        "Pass another.",
                    )
                    .with_code("ResourceNotFoundException"),
                )),
            }
        })
    }
    async fn list_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        self.call("ec2:DescribeTags", &points.len().to_string(), |state| {
            Ok(points
                .iter()
                .filter(|point| matches!(point.tag_home(), TagHome::Ec2(_)))
                .map(|point| {
                    let tags = state.tags.get(point.as_str()).cloned();
                    (point.clone(), tags.unwrap_or_default())
                })
                .collect())
        })
    }

    async fn list_planned(&self, ids: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        let operation = "ec2:DescribeTags";
        self.call(operation, &format!("{} snapshots", ids.len()), |state| {
            if ids.len() > SNAPSHOTS_AT_ONCE {
                return Err(too_many_values(operation));
            }
            Ok(ids
                .iter()
                .filter_map(|id| {
                    let (_, tags) = state
                        .tags
                        .iter()
                        .find(|(arn, _)| arn.ends_with(&format!("/{id}")))?;
                    let planned: Tags = tags
                        .iter()
                        .filter(|(key, _)| PLANNED.contains(&key.as_str()))
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect();
                    (!planned.is_empty()).then(|| ((*id).to_owned(), planned))
                })
                .collect())
        })
    }
}

impl Volumes for World {
    async fn describe(&self, id: &VolumeId) -> Result<Volume, Error> {
        let operation = "ec2:DescribeVolumes";
        self.call(operation, id.as_str(), |state| {
            let reads = &mut state.reads_until_attached;
            let volume = state.volumes.get_mut(id).ok_or_else(|| {
                Error::Retryable(
                    Fault::new(operation, id.as_str(), "not found", "Wait until it shows.")
                        .with_code("InvalidVolume.NotFound"),
                )
            })?;
            create_in_time(&mut state.reads_until_created, volume);
            for attachment in &mut volume.attachments {
                if attachment.state.as_str() == "attaching" {
                    if *reads == 0 {
                        attachment.state = "attached".into();
                    } else {
                        *reads -= 1;
                    }
                }
            }
            let mut seen = volume.clone();
            if !seen.attachments.is_empty() && state.reads_until_shown > 0 {
                state.reads_until_shown -= 1;
                seen.state = "available".into();
                seen.attachments.clear();
            }
            Ok(seen)
        })
    }

    async fn list(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, Error> {
        let operation = "ec2:DescribeVolumes";
        let subject = match ids {
            [only] => only.to_string(),
            ids => ids.len().to_string(),
        };
        self.call(operation, &subject, |state| {
            if ids.len() > VOLUMES_AT_ONCE {
                return Err(too_many_values(operation));
            }
            let looks = &mut state.reads_until_created;
            let mut seen = Vec::new();
            for id in ids {
                if let Some(volume) = state.volumes.get_mut(id) {
                    create_in_time(looks, volume);
                    seen.push(volume.clone());
                }
            }
            Ok(seen)
        })
    }

    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<AttachAnswer, Error> {
        let operation = "ec2:AttachVolume";
        let subject = format!("{volume} {instance} {device}");
        let fault = |code: &str, message: &str| {
            Fault::new(operation, subject.clone(), message, "Call it again later.").with_code(code)
        };
        self.call(operation, &subject, |state| {
            // However often it is asked for this name.
            if let Some((AttachTrouble::Device(name), _)) = state.attach_trouble {
                if device.as_str() == name {
                    let fault = fault("Refused", "EC2 does not accept the device name");
                    return Ok(AttachAnswer::DeviceRefused(fault));
                }
            } else if let Some((trouble, times @ 1..)) = state.attach_trouble {
                // `usize::MAX` means always.
                let left = times.saturating_sub(usize::from(times < usize::MAX));
                state.attach_trouble = Some((trouble, left));
                let fault = fault("Refused", "EC2 has something against it");
                return Ok(match trouble {
                    AttachTrouble::Vanishes => {
                        state.volumes.remove(volume);
                        AttachAnswer::Accepted { attached: false }
                    }
                    AttachTrouble::Modifying => AttachAnswer::Modifying(fault),
                    AttachTrouble::Device(_) => AttachAnswer::DeviceRefused(fault),
                    AttachTrouble::Key => AttachAnswer::KeyUnusable(fault),
                    AttachTrouble::ProductCode => AttachAnswer::ProductCode(fault),
                    AttachTrouble::Unsupported => AttachAnswer::Unsupported(fault),
                });
            }
            if state.drops_attachments {
                return Ok(AttachAnswer::Accepted { attached: false });
            }
            let (Some(volume), Some(instance)) = (
                state.volumes.get_mut(volume),
                state.instances.get_mut(instance),
            ) else {
                return Err(not_found(operation, &subject));
            };
            if volume.state.as_str() != "available" {
                return Ok(AttachAnswer::Contested(fault(
                    "VolumeInUse",
                    "already attached",
                )));
            }
            if !matches!(instance.state.as_str(), "running" | "stopped") {
                return Ok(AttachAnswer::Contested(fault(
                    "IncorrectState",
                    "not running",
                )));
            }
            if volume.zone != instance.zone {
                return Ok(AttachAnswer::ZoneMismatch(fault(
                    "InvalidVolume.ZoneMismatch",
                    "zones",
                )));
            }
            let mut taken = instance.devices.iter().map(|(taken, _)| taken);
            if taken.any(|taken| taken == device.as_str())
                || state.hidden_devices.contains(device.as_str())
            {
                return Ok(AttachAnswer::DeviceInUse(fault(
                    "InvalidParameterValue",
                    "already in use",
                )));
            }
            if state.volumes_for_each_instance == Some(instance.devices.len()) {
                return Ok(AttachAnswer::LimitExceeded(fault(
                    "AttachmentLimitExceeded",
                    "too many",
                )));
            }
            let attached = state.reads_until_attached == 0;
            volume.state = "in-use".into();
            volume.attachments.push(Attachment {
                instance: instance.id.clone(),
                device: device.as_str().to_owned(),
                state: if attached { "attached" } else { "attaching" }.into(),
                since: None,
            });
            instance
                .devices
                .push((device.as_str().to_owned(), volume.id.clone()));
            state.attachments_made += 1;
            Ok(AttachAnswer::Accepted { attached })
        })
    }
}

impl Instances for World {
    async fn describe(&self, id: &InstanceId) -> Result<Instance, Error> {
        let operation = "ec2:DescribeInstances";
        self.call(operation, id.as_str(), |state| {
            state
                .instances
                .get(id)
                .cloned()
                .ok_or_else(|| not_found(operation, id.as_str()))
        })
    }

    async fn list_of_stack(&self, stack: &str, logical_id: &str) -> Result<Vec<Instance>, Error> {
        let subject = format!("{stack}/{logical_id}");
        self.call("ec2:DescribeInstances", &subject, |state| {
            let resource = state
                .stack_resources
                .get(&(stack.to_owned(), logical_id.to_owned()));
            let id = resource.and_then(|resource| resource.physical_id.clone());
            let tagged = id.and_then(|id| state.instances.get(&InstanceId::new(id)));
            Ok(tagged.cloned().into_iter().collect())
        })
    }

    async fn list_of_group(&self, group: &str) -> Result<Vec<Instance>, Error> {
        self.call("ec2:DescribeInstances", group, |state| {
            let ids = state.groups.get(group).cloned().unwrap_or_default();
            Ok(ids
                .iter()
                .filter_map(|id| state.instances.get(id))
                .filter(|instance| matches!(instance.state.as_str(), "pending" | "running"))
                .cloned()
                .collect())
        })
    }
}

impl AutoScalingGroups for World {
    async fn describe(&self, name: &str) -> Result<Option<Group>, Error> {
        self.call("autoscaling:DescribeAutoScalingGroups", name, |state| {
            let Some(ids) = state.groups.get(name) else {
                return Ok(None);
            };
            let members: Vec<Member> = ids
                .iter()
                .map(|id| Member {
                    instance: id.clone(),
                    lifecycle: state.lifecycle(id),
                })
                .collect();
            let serving = members
                .iter()
                .filter(|member| ["InService", "Pending"].contains(&member.lifecycle.as_str()));
            Ok(Some(Group {
                desired: match state.capacities.get(name) {
                    Some(desired) => *desired,
                    None => serving.count(),
                },
                members,
            }))
        })
    }
}

impl Functions for World {
    async fn invoke(&self, function: &str, payload: &serde_json::Value) -> Result<(), Error> {
        self.call("lambda:InvokeFunction", function, |state| {
            let invocation = (function.to_owned(), payload.clone());
            state.invocations.push(invocation);
            Ok(())
        })
    }
}

impl OpsItems for World {
    async fn list(&self, key: &ItemKey) -> Result<Vec<OpsItem>, Error> {
        self.call("ssm:DescribeOpsItems", key.as_str(), |state| {
            Ok(state
                .items
                .iter()
                .filter(|stored| stored.key == *key)
                .filter(|stored| !state.unlisted.contains(&stored.item.id))
                .map(|stored| stored.item.clone())
                .collect())
        })
    }

    async fn list_open(&self, kind: &'static str) -> Result<Vec<OpsItem>, Error> {
        self.call("ssm:DescribeOpsItems", &format!("open {kind}s"), |state| {
            Ok(state
                .items
                .iter()
                .map(|stored| &stored.item)
                .filter(|item| item.status == Status::Open)
                .filter(|item| !state.unlisted.contains(&item.id))
                .filter(|item| item.data.get(KIND).is_some_and(|of| of == kind))
                .cloned()
                .collect())
        })
    }

    async fn list_resolved(
        &self,
        kind: &'static str,
        since: DateTime<Utc>,
    ) -> Result<Vec<OpsItem>, Error> {
        self.call(
            "ssm:DescribeOpsItems",
            &format!("resolved {kind}s"),
            |state| {
                Ok(state
                    .items
                    .iter()
                    .map(|stored| &stored.item)
                    .filter(|item| item.status == Status::Resolved)
                    .filter(|item| item.created.is_none_or(|created| created > since))
                    .filter(|item| item.data.get(KIND).is_some_and(|of| of == kind))
                    .cloned()
                    .collect())
            },
        )
    }

    async fn get(&self, id: &OpsItemId) -> Result<OpsItem, Error> {
        let operation = "ssm:GetOpsItem";
        self.call(operation, id.as_str(), |state| {
            state
                .items
                .iter()
                .find(|stored| stored.item.id == *id)
                .map(|stored| stored.item.clone())
                .ok_or_else(|| not_found(operation, id.as_str()))
        })
    }

    async fn find(&self, id: &OpsItemId) -> Result<Option<OpsItem>, Error> {
        self.call("ssm:GetOpsItem", id.as_str(), |state| {
            let stored = state.items.iter().find(|stored| stored.item.id == *id);
            Ok(stored.map(|stored| stored.item.clone()))
        })
    }

    async fn create(&self, new: &NewOpsItem) -> Result<Claim, Error> {
        self.call("ssm:CreateOpsItem", new.key.as_str(), |state| {
            // OpsCenter ignores case.
            let dedup = |key: &ItemKey| key.dedup().to_lowercase();
            let open = state.items.iter().find(|stored| {
                dedup(&stored.key) == dedup(&new.key) && stored.item.status == Status::Open
            });
            if let Some(open) = open {
                return Ok(Claim::Existing(open.item.id.clone()));
            }
            if state.ops_item_quota_reached {
                return Err(Error::Permanent(
                    Fault::new(
                        "ssm:CreateOpsItem",
                        new.key.as_str(),
                        "the quota of OpsItems is used up",
                        "Wait for the next month.",
                    )
                    .with_code(OPS_ITEM_QUOTA),
                ));
            }
            let id = OpsItemId::new(format!("oi-{}", state.items.len() + 1));
            let problems = [
                acceptable::key(new.key.as_str()),
                acceptable::title(&new.limited_title()),
                acceptable::description(&new.limited_description()),
            ];
            let data = new.data.iter();
            let data = data.filter_map(|(key, value)| acceptable::data(key, value));
            state
                .problems
                .extend(problems.into_iter().flatten().chain(data));
            state.items.push(StoredItem {
                item: new.as_created(id.clone()),
                key: new.key.clone(),
                title: new.limited_title(),
                description: new.limited_description(),
                severity: new.severity,
                related: Vec::new(),
            });
            Ok(Claim::Created(id))
        })
    }

    async fn update(&self, id: &OpsItemId, change: &OpsItemChange) -> Result<(), Error> {
        let operation = "ssm:UpdateOpsItem";
        self.call(operation, id.as_str(), |state| {
            let title = change.limited_title();
            let description = change.limited_description();
            let problems = [
                title.as_deref().and_then(acceptable::title),
                description.as_deref().and_then(acceptable::description),
            ];
            let data = change.data.iter();
            let data = data.filter_map(|(key, value)| acceptable::data(key, value));
            state
                .problems
                .extend(problems.into_iter().flatten().chain(data));
            let stored = state
                .items
                .iter_mut()
                .find(|stored| stored.item.id == *id)
                .ok_or_else(|| not_found(operation, id.as_str()))?;
            if let Some(title) = title {
                stored.title = title;
            }
            if let Some(description) = description {
                stored.description = description;
            }
            if let Some(severity) = change.severity {
                stored.severity = severity;
            }
            if let Some(status) = change.status {
                stored.item.status = status;
            }
            if let Some(related) = &change.related {
                stored.related.clone_from(related);
            }
            for (key, value) in &change.data {
                stored.item.data.insert((*key).to_owned(), value.clone());
            }
            Ok(())
        })
    }
}

impl Notifications for World {
    async fn publish(&self, notification: &Notification) -> Result<(), Error> {
        self.call("sns:Publish", &notification.subject, |state| {
            state
                .problems
                .extend(acceptable::notification(notification));
            state.notifications.push(notification.clone());
            Ok(())
        })
    }
}

impl Runbooks for World {
    async fn start(
        &self,
        runbook: &str,
        token: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<String, Error> {
        self.call("ssm:StartAutomationExecution", runbook, |state| {
            let values = parameters.iter();
            state
                .problems
                .extend(values.filter_map(|(_, value)| acceptable::key(value)));
            state
                .executions
                .entry(token.to_owned())
                .or_insert_with(|| (runbook.to_owned(), parameters.to_vec()));
            Ok(format!("execution-{token}"))
        })
    }
}

/// A clock that moves only when someone sleeps. A run begins with 300 seconds.
#[derive(Debug)]
pub struct FakeClock {
    slept: Mutex<Duration>,
    budget: Duration,
}

impl FakeClock {
    /// A clock with 300 seconds left, as the template gives to the integration.
    pub fn new() -> FakeClock {
        FakeClock::with_budget(Duration::from_secs(300))
    }

    /// A clock with this much left.
    pub fn with_budget(budget: Duration) -> FakeClock {
        FakeClock {
            slept: Mutex::new(Duration::ZERO),
            budget,
        }
    }

    fn slept(&self) -> MutexGuard<'_, Duration> {
        self.slept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeClock {
    fn default() -> FakeClock {
        FakeClock::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> DateTime<Utc> {
        let start = DateTime::from_timestamp(1_795_413_600, 0).unwrap_or_default();
        start + *self.slept()
    }

    fn remaining(&self) -> Duration {
        self.budget.saturating_sub(*self.slept())
    }

    async fn sleep(&self, duration: Duration) {
        *self.slept() += duration;
    }
}
