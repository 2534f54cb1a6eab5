//! Instances that were restored from their images, images, and target groups.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::aws::arn::{Arn, InstanceId};
use crate::aws::backup::RestoreJob;
use crate::aws::ec2::{Image, ImageDevice, InstanceState};
use crate::aws::instance::{
    CheckState, Checks, EC2, RegisterAnswer, Server, TargetGroup, TargetHealth, TargetKind,
    TargetState,
};
use crate::error::{Error, Fault};
use crate::fakes::{FakeClock, RESTORE_ROLE, World, completed_job};
use crate::ports::{Clock, Images, Servers as ServersPort, TargetGroups};

/// The ARN of the target group `web`.
pub const TARGET_GROUP: &str =
    "arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/web/1a2b3c4d";

/// The ARN of the load balancer that forwards to [`TARGET_GROUP`].
pub const LOAD_BALANCER: &str =
    "arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/web/5e6f7a8b";

/// Restored instances, images, and target groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    /// Restored instances by id.
    pub servers: BTreeMap<InstanceId, Server>,
    /// Reads of the status checks until they pass; `usize::MAX`: never.
    pub reads_until_checked: usize,
    /// Status checks of running instances that do not depend on the number of reads.
    pub checks: BTreeMap<InstanceId, Checks>,
    /// Images by id.
    pub images: BTreeMap<String, Image>,
    /// Target groups by ARN.
    pub target_groups: BTreeMap<String, TargetGroup>,
    /// The health of targets, by target group and instance.
    pub targets: BTreeMap<(String, InstanceId), TargetHealth>,
    /// Reads of the health until a new target is healthy; `usize::MAX`: never.
    pub reads_until_healthy: usize,
    /// Why target groups take no instance: the code of the error.
    pub rejects_targets: Option<&'static str>,
}

fn health(state: TargetState) -> TargetHealth {
    TargetHealth {
        state,
        reason: None,
        description: None,
    }
}

/// The reason of a target whose instance is stopped.
const INVALID_STATE: &str = "Target.InvalidState";

impl Servers {
    /// Makes every instance running and healthy.
    pub fn complete(&mut self) {
        for server in self.servers.values_mut() {
            server.state = InstanceState::Running;
        }
        for target in self.targets.values_mut() {
            *target = health(TargetState::Healthy);
        }
        self.reads_until_checked = 0;
        self.reads_until_healthy = 0;
    }

    /// Changes the state of an instance as EC2 does. A stopped one has no public address any more, and is not used as a
    /// target until it runs again; one that is terminated is a target no more.
    pub fn set_state(&mut self, id: &InstanceId, state: &str) {
        let Some(server) = self.servers.get_mut(id) else {
            return;
        };
        server.state = state.into();
        let state = server.state.clone();
        if matches!(state, InstanceState::Stopping | InstanceState::Stopped) || state.is_ending() {
            server.public_address = None;
            server.public_name = None;
        }
        if state.is_ending() {
            self.targets.retain(|(_, target), _| target != id);
        }
        let own = self.targets.iter_mut().filter(|((_, it), _)| it == id);
        for (_, target) in own {
            let is_unused = target.reason.as_deref() == Some(INVALID_STATE);
            match state {
                InstanceState::Running if is_unused => *target = health(TargetState::Initial),
                InstanceState::Stopping | InstanceState::Stopped => {
                    *target = TargetHealth {
                        reason: Some(INVALID_STATE.to_owned()),
                        ..health(TargetState::Unused)
                    };
                }
                _ => {}
            }
        }
    }

    /// Registers a target. One that is leaving the group joins it again.
    fn register(&mut self, arn: &str, id: &InstanceId) -> Result<RegisterAnswer, Error> {
        let fault = |code: &str| {
            Fault::new(
                "elasticloadbalancing:RegisterTargets",
                arn,
                "the target group does not take it",
                "Correct it.",
            )
            .with_code(code)
        };
        let Some(group) = self.target_groups.get(arn) else {
            return Err(Error::Permanent(fault("TargetGroupNotFound")));
        };
        let is_possible = self.servers.get(id).is_some_and(|server| {
            server.state == InstanceState::Running && server.vpc == group.vpc
        });
        if !is_possible {
            return Ok(RegisterAnswer::Busy(fault("InvalidTarget")));
        }
        let key = (arn.to_owned(), id.clone());
        let is_leaving = |target: &TargetHealth| {
            matches!(
                target.state,
                TargetState::Draining | TargetState::UnhealthyDraining
            )
        };
        if self.targets.get(&key).is_some_and(|it| !is_leaving(it)) {
            return Ok(RegisterAnswer::Registered);
        }
        if let Some(code) = self.rejects_targets {
            return Ok(match code {
                "InvalidTarget" => RegisterAnswer::Busy(fault(code)),
                _ => RegisterAnswer::Rejected(fault(code)),
            });
        }
        self.targets.insert(key, health(TargetState::Initial));
        Ok(RegisterAnswer::Registered)
    }
}

impl Images for World {
    async fn describe(&self, id: &str) -> Result<Option<Image>, Error> {
        self.call("ec2:DescribeImages", id, |state| {
            Ok(state.servers.images.get(id).cloned())
        })
    }
}

impl ServersPort for World {
    async fn find(&self, id: &InstanceId) -> Result<Option<Server>, Error> {
        self.call("ec2:DescribeInstances", id.as_str(), |state| {
            Ok(state.servers.servers.get(id).cloned())
        })
    }

    async fn checks(&self, id: &InstanceId) -> Result<Option<Checks>, Error> {
        self.call("ec2:DescribeInstanceStatus", id.as_str(), |state| {
            let servers = &mut state.servers;
            let is_running = servers
                .servers
                .get(id)
                .is_some_and(|server| server.state == InstanceState::Running);
            if !is_running {
                return Ok(None);
            }
            if let Some(checks) = servers.checks.get(id) {
                return Ok(Some(checks.clone()));
            }
            let instance = match servers.reads_until_checked {
                0 => CheckState::Ok,
                left => {
                    if left != usize::MAX {
                        servers.reads_until_checked = left - 1;
                    }
                    CheckState::Initializing
                }
            };
            Ok(Some(Checks {
                instance,
                system: CheckState::Ok,
            }))
        })
    }
}

impl TargetGroups for World {
    async fn describe(&self, arn: &str) -> Result<Option<TargetGroup>, Error> {
        self.call("elasticloadbalancing:DescribeTargetGroups", arn, |state| {
            Ok(state.servers.target_groups.get(arn).cloned())
        })
    }

    async fn health(&self, arn: &str, id: &InstanceId) -> Result<Option<TargetHealth>, Error> {
        self.call("elasticloadbalancing:DescribeTargetHealth", arn, |state| {
            let servers = &mut state.servers;
            let target = (arn.to_owned(), id.clone());
            // Nobody sees the targets of a group that was deleted.
            let exists = servers.target_groups.contains_key(arn);
            let Some(found) = servers.targets.get_mut(&target).filter(|_| exists) else {
                return Ok(None);
            };
            if found.state == TargetState::Initial {
                match servers.reads_until_healthy {
                    0 => *found = health(TargetState::Healthy),
                    usize::MAX => {}
                    left => servers.reads_until_healthy = left - 1,
                }
            }
            Ok(Some(found.clone()))
        })
    }

    async fn register(&self, arn: &str, id: &InstanceId) -> Result<RegisterAnswer, Error> {
        let subject = format!("{arn} {id}");
        self.call("elasticloadbalancing:RegisterTargets", &subject, |state| {
            state.servers.register(arn, id)
        })
    }
}

impl World {
    /// Adds the image `ami-1` with a root volume and a data volume.
    pub fn add_image(&self) {
        let device = |name: &str, snapshot: &str| ImageDevice {
            name: name.to_owned(),
            snapshot: snapshot.to_owned(),
            delete_on_termination: true,
        };
        let image = Image {
            devices: vec![
                device("/dev/xvda", "snap-root"),
                device("/dev/sdf", "snap-data"),
            ],
            unusable: None,
        };
        self.state()
            .servers
            .images
            .insert("ami-1".to_owned(), image);
    }

    /// Adds the completed restore of the instance `i-1` from the image `ami-1`, job `job-instance`, with these tags; and
    /// the target group [`TARGET_GROUP`] in its VPC.
    pub fn add_restored_server(&self, tags: &[(&str, &str)]) {
        let point = "arn:aws:ec2:us-west-2::image/ami-1";
        let completed = FakeClock::new().now() - TimeDelta::seconds(42);
        let job = RestoreJob {
            resource_type: Some(EC2.to_owned()),
            source_resource: Arn::parse("arn:aws:ec2:us-east-1:111122223333:instance/i-0").ok(),
            created_resource: Arn::parse("arn:aws:ec2:us-west-2:111122223333:instance/i-1").ok(),
            ..completed_job("instance", point, RESTORE_ROLE, completed, completed)
        };
        let server = Server {
            id: InstanceId::new("i-1"),
            state: InstanceState::Running,
            reason: None,
            vpc: Some("vpc-1".to_owned()),
            zone: Some("us-west-2a".to_owned()),
            private_address: Some("10.0.1.7".to_owned()),
            private_name: Some("ip-10-0-1-7.us-west-2.compute.internal".to_owned()),
            public_address: None,
            public_name: None,
            has_profile: true,
            restore_test: false,
        };
        let group = TargetGroup {
            arn: TARGET_GROUP.to_owned(),
            vpc: Some("vpc-1".to_owned()),
            kind: TargetKind::Instance,
            load_balancers: vec![LOAD_BALANCER.to_owned()],
        };
        let mut state = self.state();
        let tags = tags.iter();
        let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        state.tags.insert(point.to_owned(), tags.collect());
        state.restore_jobs.insert(job.id.to_string(), job);
        state.servers.servers.insert(server.id.clone(), server);
        let arn = group.arn.clone();
        state.servers.target_groups.insert(arn, group);
    }
}
