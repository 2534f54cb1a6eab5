//! Decides the next step of the integration of a file system of EFS from its observed state.

use crate::aws::ec2::{Subnet, one_per_zone};
use crate::aws::file_system::{AccessPoint, EfsFileSystem, EfsState, MountTarget, NewMountTarget};
use crate::integrate::file_system::refusal::FileSystemRefusal;

/// How the directory begins into which AWS Backup restores files of EFS
/// (<https://docs.aws.amazon.com/efs/latest/ug/awsbackup.html>).
pub(super) const RESTORED_DIRECTORY: &str = "/aws-backup-restore_";

/// The restored file system, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub file_system: EfsFileSystem,
    pub targets: Vec<MountTarget>,
    pub access_points: Vec<AccessPoint>,
}

impl Observed {
    /// The access point that serves the restored files, if there is one: of several, one that can be used, by id.
    pub(super) fn access_point(&self) -> Option<&AccessPoint> {
        self.access_points
            .iter()
            .filter(|point| serves_restored_files(point))
            .min_by_key(|point| (!point.state.is_usable(), &point.id))
    }

    /// The addresses of the mount targets that can be used, each with its zone.
    pub(super) fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = self
            .targets
            .iter()
            .filter(|target| target.state.is_usable())
            .filter_map(|target| Some(format!("{}={}", target.zone, target.address.as_ref()?)))
            .collect();
        addresses.sort();
        addresses
    }
}

/// Whether the root of the access point is the directory of AWS Backup, and not one below it. One that creates a missing
/// directory could serve an empty one.
fn serves_restored_files(point: &AccessPoint) -> bool {
    let is_directory = point
        .path
        .strip_prefix(RESTORED_DIRECTORY)
        .is_some_and(|rest| !rest.contains('/'));
    is_directory && !point.creates_directory && !point.state.is_dead()
}

/// What is done so that an access point serves the restored files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AccessPointStep {
    Create,
    /// There is one. The next run uses it.
    Wait,
    Refuse(FileSystemRefusal),
}

/// Decides what is done about an access point to `directory`, with the file system's `points`.
pub(super) fn access_point_step(points: &[AccessPoint], directory: &str) -> AccessPointStep {
    if points.iter().any(serves_restored_files) {
        return AccessPointStep::Wait;
    }
    // EFS creates no second one with the same token.
    let failed = points.iter().find(|point| {
        point.path == directory && !point.creates_directory && point.state == EfsState::Error
    });
    match failed {
        Some(point) => AccessPointStep::Refuse(FileSystemRefusal::Unusable {
            id: point.id.clone(),
            state: point.state.to_string(),
            message: None,
        }),
        None => AccessPointStep::Create,
    }
}

/// The network that a file system gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// In the order of their preference. The first one of each Availability Zone gets a mount target.
    pub subnets: Vec<Subnet>,
    pub security_groups: Vec<String>,
}

/// The next step of an integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// None: clients can reach it.
    Done,
    CreateMountTarget(NewMountTarget),
    /// Check again.
    Wait(String),
    /// Stop: a rule forbids the integration.
    Refuse(FileSystemRefusal),
}

/// Decides the next step. `created` are the subnets in which this run created mount targets: the observation may be
/// older than that.
pub fn next_step(seen: &Observed, network: &Network, created: &[String]) -> Step {
    let Observed { file_system, .. } = seen;
    let unusable = |id: &str, state: &str| {
        Step::Refuse(FileSystemRefusal::Unusable {
            id: id.to_owned(),
            state: state.to_owned(),
            message: None,
        })
    };
    if file_system.state.is_dead() {
        return unusable(&file_system.id, file_system.state.as_str());
    }
    if !file_system.state.is_usable() {
        return Step::Wait(format!("{} (now {})", file_system.id, file_system.state));
    }
    if let Some(first) = network.subnets.first()
        && network.subnets.iter().any(|it| it.vpc != first.vpc)
    {
        return Step::Refuse(FileSystemRefusal::SeveralVpcs {
            subnets: network.subnets.iter().map(|it| it.id.clone()).collect(),
        });
    }
    let mut awaited = None;
    for subnet in one_per_zone(&network.subnets) {
        let target = seen.targets.iter().find(|it| it.zone == subnet.zone);
        match target {
            None if created.contains(&subnet.id) => {
                awaited.get_or_insert_with(|| format!("a mount target in {} to show", subnet.id));
            }
            None => {
                return Step::CreateMountTarget(NewMountTarget {
                    file_system: file_system.id.clone(),
                    subnet: subnet.id.clone(),
                    security_groups: network.security_groups.clone(),
                });
            }
            // It serves the zone only if it is in a subnet that the tags name.
            Some(target) if network.subnets.iter().all(|it| it.id != target.subnet) => {
                return Step::Refuse(FileSystemRefusal::MountTargetElsewhere {
                    zone: subnet.zone.clone(),
                    subnet: target.subnet.clone(),
                    wanted: subnet.id.clone(),
                });
            }
            Some(target) if target.state.is_dead() => {
                return unusable(&target.id, target.state.as_str());
            }
            Some(target) if !target.state.is_usable() || target.address.is_none() => {
                awaited.get_or_insert_with(|| format!("{} (now {})", target.id, target.state));
            }
            Some(_) => {}
        }
    }
    awaited.map_or(Step::Done, Step::Wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::arn::Arn;
    use crate::integrate::refusal::Refusal;

    fn subnet(id: &str, zone: &str) -> Subnet {
        Subnet {
            id: id.to_owned(),
            zone: zone.to_owned(),
            vpc: "vpc-1".to_owned(),
        }
    }

    fn network() -> Network {
        Network {
            subnets: vec![subnet("a1", "a"), subnet("a2", "a"), subnet("b1", "b")],
            security_groups: vec!["sg-1".to_owned()],
        }
    }

    fn target(subnet: &str, zone: &str, state: &str) -> MountTarget {
        MountTarget {
            id: format!("fsmt-{subnet}"),
            subnet: subnet.to_owned(),
            zone: zone.to_owned(),
            address: Some("10.0.1.5".to_owned()),
            state: state.into(),
        }
    }

    fn seen(state: &str, targets: &[MountTarget]) -> Observed {
        Observed {
            file_system: EfsFileSystem {
                id: "fs-1".to_owned(),
                arn: Arn::parse("arn:aws:elasticfilesystem:us-west-2:1:file-system/fs-1").unwrap(),
                state: state.into(),
                restore_test: false,
            },
            targets: targets.to_vec(),
            access_points: Vec::new(),
        }
    }

    fn point(state: &str) -> AccessPoint {
        AccessPoint {
            id: "fsap-1".to_owned(),
            path: "/aws-backup-restore_1".to_owned(),
            creates_directory: false,
            state: state.into(),
        }
    }

    #[track_caller]
    fn check(seen: &Observed, network: &Network, created: &[&str], expected: &str) {
        let created: Vec<String> = created.iter().map(|it| (*it).to_owned()).collect();
        let step = match next_step(seen, network, &created) {
            Step::Done => "done".to_owned(),
            Step::CreateMountTarget(new) => {
                assert_eq!(new.security_groups, ["sg-1"]);
                format!("mount target in {}", new.subnet)
            }
            Step::Wait(what) => format!("wait for {what}"),
            Step::Refuse(refusal) => {
                assert!(!refusal.remedy().is_empty() && !refusal.to_string().is_empty());
                format!("refuse {}", refusal.reason())
            }
        };
        assert_eq!(step, expected);
    }

    #[test]
    fn creates_one_mount_target_in_each_zone_and_waits_for_all() {
        let check = |state: &str, targets: &[MountTarget], created: &[&str], expected: &str| {
            check(&seen(state, targets), &network(), created, expected);
        };
        let available = |subnet, zone| target(subnet, zone, "available");
        check("creating", &[], &[], "wait for fs-1 (now creating)");
        check("error", &[], &[], "refuse file-system-unusable");
        check("available", &[], &[], "mount target in a1");
        check("available", &[], &["a1"], "mount target in b1");
        check(
            "available",
            &[],
            &["a1", "b1"],
            "wait for a mount target in a1 to show",
        );
        let creating = target("a1", "a", "creating");
        check(
            "available",
            std::slice::from_ref(&creating),
            &[],
            "mount target in b1",
        );
        check(
            "available",
            &[creating, available("b1", "b")],
            &[],
            "wait for fsmt-a1 (now creating)",
        );
        let both = [available("a1", "a"), available("b1", "b")];
        check("available", &both, &[], "done");
        check("updating", &both, &[], "done");
        // The tags name both subnets of this zone.
        let other = [available("a2", "a"), available("b1", "b")];
        check("available", &other, &[], "done");
        let foreign = [available("x", "a"), available("b1", "b")];
        check("available", &foreign, &[], "refuse mount-target-elsewhere");
        let lost = [target("a1", "a", "error")];
        check("available", &lost, &[], "refuse file-system-unusable");
        let hidden = [MountTarget {
            address: None,
            ..available("a1", "a")
        }];
        check(
            "available",
            &hidden,
            &["b1"],
            "wait for fsmt-a1 (now available)",
        );
    }

    #[test]
    fn refuses_subnets_of_several_vpcs() {
        let mut network = network();
        network.subnets[2].vpc = "vpc-2".to_owned();
        check(
            &seen("available", &[]),
            &network,
            &[],
            "refuse subnets-of-several-vpcs",
        );
    }

    #[test]
    fn knows_the_access_point_that_serves_the_restored_files() {
        let targets = [
            target("a1", "a", "available"),
            target("b1", "b", "available"),
        ];
        let mut seen = seen("available", &targets);
        let network = network();
        check(&seen, &network, &[], "done");
        assert_eq!(seen.access_point(), None);
        seen.access_points = vec![point("creating")];
        check(&seen, &network, &[], "done");
        assert!(seen.access_point().is_some());
        seen.access_points = vec![point("available")];
        check(&seen, &network, &[], "done");
        assert!(seen.access_point().is_some());
        // It serves something else, or would hide that the directory is missing.
        for path in ["/", "/aws-backup-restore_1/orders"] {
            path.clone_into(&mut seen.access_points[0].path);
            assert_eq!(seen.access_point(), None);
        }
        seen.access_points = vec![point("available")];
        seen.access_points[0].creates_directory = true;
        assert_eq!(seen.access_point(), None);
        seen.access_points = vec![point("error")];
        assert_eq!(seen.access_point(), None);
        // The order of a list may change.
        let named = |id: &str, state: &str| AccessPoint {
            id: id.to_owned(),
            ..point(state)
        };
        seen.access_points = vec![
            named("fsap-3", "available"),
            named("fsap-1", "creating"),
            named("fsap-2", "available"),
        ];
        let chosen = seen.access_point().map(|point| point.id.as_str());
        assert_eq!(chosen, Some("fsap-2"));
    }

    #[test]
    fn creates_one_access_point_to_the_restored_directory() {
        let directory = "/aws-backup-restore_1";
        let step = |points: &[AccessPoint]| access_point_step(points, directory);
        let other = AccessPoint {
            path: "/orders".to_owned(),
            ..point("error")
        };
        assert_eq!(step(&[]), AccessPointStep::Create);
        assert_eq!(
            step(&[other, point("deleting")]),
            AccessPointStep::Create,
            "EFS decides"
        );
        for state in ["creating", "available"] {
            assert_eq!(step(&[point(state)]), AccessPointStep::Wait, "{state}");
        }
        let AccessPointStep::Refuse(refusal) = step(&[point("error")]) else {
            panic!("a person must delete it");
        };
        assert_eq!(refusal.to_string(), "`fsap-1` is `error`");
    }
}
