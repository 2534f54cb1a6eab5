//! File systems of EFS and FSx, and the subnets of their network.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::aws::arn::Arn;
use crate::aws::backup::RestoreJob;
use crate::aws::ec2::Subnet;
use crate::aws::file_system::{
    AccessPoint, EfsAnswer, EfsFileSystem, EfsState, FsxFileSystem, FsxState, FsxType, FsxVolume,
    MountTarget, NewAccessPoint, NewMountTarget, StorageMachine,
};
use crate::error::{Error, Fault};
use crate::fakes::{FakeClock, RESTORE_ROLE, World, completed_job};
use crate::ports::{Clock, EfsFileSystems, FsxFileSystems, Subnets};

/// File systems, their network, and what EFS makes of calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSystems {
    /// File systems of EFS by id.
    pub efs: BTreeMap<String, EfsFileSystem>,
    /// Mount targets by file system.
    pub mount_targets: BTreeMap<String, Vec<MountTarget>>,
    /// Access points by file system.
    pub access_points: BTreeMap<String, Vec<AccessPoint>>,
    /// File systems of FSx by id.
    pub fsx: BTreeMap<String, FsxFileSystem>,
    /// Volumes of FSx for ONTAP by id.
    pub volumes: BTreeMap<String, FsxVolume>,
    /// Storage virtual machines by id.
    pub machines: BTreeMap<String, StorageMachine>,
    /// Subnets by id.
    pub subnets: BTreeMap<String, Subnet>,
    /// The paths of volumes of OpenZFS, by id.
    pub volume_paths: BTreeMap<String, String>,
    /// Reads of the list until a new mount target or access point is available; `usize::MAX`: never.
    pub reads_until_available: usize,
    /// Why EFS creates no mount target: the code of its error.
    pub rejects_mount_targets: Option<&'static str>,
    /// Why EFS creates no access point: the code of its error.
    pub rejects_access_points: Option<&'static str>,
    /// What mount targets were created with.
    pub created: Vec<NewMountTarget>,
    /// What access points were created with.
    pub created_points: Vec<NewAccessPoint>,
    creating: BTreeMap<String, usize>,
}

impl FileSystems {
    /// Makes every file system, mount target and access point available.
    pub fn complete(&mut self) {
        for file_system in self.efs.values_mut() {
            file_system.state = EfsState::Available;
        }
        for file_system in self.fsx.values_mut() {
            file_system.state = FsxState::Available;
        }
        let targets = self.mount_targets.values_mut().flatten();
        targets.for_each(|target| target.state = EfsState::Available);
        let points = self.access_points.values_mut().flatten();
        points.for_each(|point| point.state = EfsState::Available);
        self.reads_until_available = 0;
        self.creating.clear();
    }

    /// Lets what is being created become available in its time.
    fn read(&mut self, file_system: &str) {
        let targets = self.mount_targets.get_mut(file_system);
        let points = self.access_points.get_mut(file_system);
        let targets = targets.into_iter().flatten();
        let points = points.into_iter().flatten();
        let states = targets
            .map(|it| (&it.id, &mut it.state))
            .chain(points.map(|it| (&it.id, &mut it.state)));
        for (id, state) in states {
            if *state != EfsState::Creating {
                continue;
            }
            let left = self
                .creating
                .entry(id.clone())
                .or_insert(self.reads_until_available);
            match *left {
                0 => *state = EfsState::Available,
                usize::MAX => {}
                _ => *left -= 1,
            }
        }
    }

    /// The answer of a creation that EFS does not accept: the file system is being changed, or `rejected` is the code of
    /// its error.
    fn refused(
        &self,
        operation: &'static str,
        file_system: &str,
        rejected: Option<&str>,
    ) -> Option<EfsAnswer> {
        let fault = |code: &str| {
            Fault::new(operation, file_system, "EFS rejects it", "Correct it.").with_code(code)
        };
        let found = self.efs.get(file_system);
        if found.is_none_or(|it| it.state != EfsState::Available) {
            return Some(EfsAnswer::Busy(fault("IncorrectFileSystemLifeCycleState")));
        }
        rejected.map(|code| EfsAnswer::Rejected(fault(code)))
    }

    fn create_mount_target(&mut self, new: &NewMountTarget) -> EfsAnswer {
        const OPERATION: &str = "elasticfilesystem:CreateMountTarget";
        let rejected = match self.subnets.get(&new.subnet) {
            Some(_) => self.rejects_mount_targets,
            None => Some("SubnetNotFound"),
        };
        if let Some(refused) = self.refused(OPERATION, &new.file_system, rejected) {
            return refused;
        }
        let subnet = &self.subnets[&new.subnet];
        let targets = self
            .mount_targets
            .entry(new.file_system.clone())
            .or_default();
        if targets.iter().any(|it| it.zone == subnet.zone) {
            return EfsAnswer::Exists;
        }
        let n = targets.len() + 1;
        targets.push(MountTarget {
            id: format!("fsmt-{n}"),
            subnet: subnet.id.clone(),
            zone: subnet.zone.clone(),
            address: Some(format!("10.0.{n}.5")),
            state: EfsState::Creating,
        });
        self.created.push(new.clone());
        EfsAnswer::Created
    }

    fn create_access_point(&mut self, new: &NewAccessPoint) -> EfsAnswer {
        const OPERATION: &str = "elasticfilesystem:CreateAccessPoint";
        let rejected = self.rejects_access_points;
        if let Some(refused) = self.refused(OPERATION, &new.file_system, rejected) {
            return refused;
        }
        if self.created_points.iter().any(|it| it.token == new.token) {
            return EfsAnswer::Exists;
        }
        let points = self
            .access_points
            .entry(new.file_system.clone())
            .or_default();
        points.push(AccessPoint {
            id: format!("fsap-{}", points.len() + 1),
            path: new.path.clone(),
            creates_directory: false,
            state: EfsState::Creating,
        });
        self.created_points.push(new.clone());
        EfsAnswer::Created
    }
}

impl Subnets for World {
    async fn list(&self, ids: &[String]) -> Result<Vec<Subnet>, Error> {
        let operation = "ec2:DescribeSubnets";
        self.call(operation, &ids.join(" "), |state| {
            ids.iter()
                .map(|id| {
                    let found = state.file_systems.subnets.get(id).cloned();
                    found.ok_or_else(|| {
                        Error::Permanent(
                            Fault::new(operation, id.as_str(), "no such subnet", "Pass another.")
                                .with_code("InvalidSubnetID.NotFound"),
                        )
                    })
                })
                .collect()
        })
    }
}

impl EfsFileSystems for World {
    async fn describe(&self, id: &str) -> Result<Option<EfsFileSystem>, Error> {
        self.call("elasticfilesystem:DescribeFileSystems", id, |state| {
            Ok(state.file_systems.efs.get(id).cloned())
        })
    }

    async fn list_mount_targets(&self, file_system: &str) -> Result<Vec<MountTarget>, Error> {
        let operation = "elasticfilesystem:DescribeMountTargets";
        self.call(operation, file_system, |state| {
            state.file_systems.read(file_system);
            let listed = state.file_systems.mount_targets.get(file_system);
            Ok(listed.cloned().unwrap_or_default())
        })
    }

    async fn list_access_points(&self, file_system: &str) -> Result<Vec<AccessPoint>, Error> {
        let operation = "elasticfilesystem:DescribeAccessPoints";
        self.call(operation, file_system, |state| {
            let listed = state.file_systems.access_points.get(file_system);
            Ok(listed.cloned().unwrap_or_default())
        })
    }

    async fn create_mount_target(&self, new: &NewMountTarget) -> Result<EfsAnswer, Error> {
        let subject = format!("{} {}", new.file_system, new.subnet);
        self.call("elasticfilesystem:CreateMountTarget", &subject, |state| {
            Ok(state.file_systems.create_mount_target(new))
        })
    }

    async fn create_access_point(&self, new: &NewAccessPoint) -> Result<EfsAnswer, Error> {
        let subject = format!("{} {}", new.file_system, new.path);
        self.call("elasticfilesystem:CreateAccessPoint", &subject, |state| {
            Ok(state.file_systems.create_access_point(new))
        })
    }
}

impl FsxFileSystems for World {
    async fn describe(&self, id: &str) -> Result<Option<FsxFileSystem>, Error> {
        self.call("fsx:DescribeFileSystems", id, |state| {
            Ok(state.file_systems.fsx.get(id).cloned())
        })
    }

    async fn volume(&self, id: &str) -> Result<Option<FsxVolume>, Error> {
        self.call("fsx:DescribeVolumes", id, |state| {
            Ok(state.file_systems.volumes.get(id).cloned())
        })
    }

    async fn volume_path(&self, id: &str) -> Result<Option<String>, Error> {
        self.call("fsx:DescribeVolumes", id, |state| {
            Ok(state.file_systems.volume_paths.get(id).cloned())
        })
    }

    async fn storage_machine(&self, id: &str) -> Result<Option<StorageMachine>, Error> {
        self.call("fsx:DescribeStorageVirtualMachines", id, |state| {
            Ok(state.file_systems.machines.get(id).cloned())
        })
    }
}

impl World {
    /// Adds three subnets in two Availability Zones: `subnet-a1`, `subnet-a2` and `subnet-b1`.
    pub fn add_subnets(&self) {
        let mut state = self.state();
        for (id, zone) in [
            ("subnet-a1", "us-west-2a"),
            ("subnet-a2", "us-west-2a"),
            ("subnet-b1", "us-west-2b"),
        ] {
            let subnet = Subnet {
                id: id.to_owned(),
                zone: zone.to_owned(),
                vpc: "vpc-1".to_owned(),
            };
            state.file_systems.subnets.insert(id.to_owned(), subnet);
        }
    }

    /// Adds the completed restore of the file system `fs-1` of EFS, job `job-fs`, with these tags.
    pub fn add_restored_efs(&self, tags: &[(&str, &str)]) {
        let arn = "arn:aws:elasticfilesystem:us-west-2:111122223333:file-system/fs-1";
        let point = "arn:aws:backup:us-west-2:111122223333:recovery-point:1";
        let source = "arn:aws:elasticfilesystem:us-east-1:111122223333:file-system/fs-0";
        self.add_file_system_job("EFS", [point, source, arn], tags);
        if let Ok(arn) = Arn::parse(arn) {
            let file_system = EfsFileSystem {
                id: "fs-1".to_owned(),
                arn,
                state: EfsState::Available,
                restore_test: false,
            };
            let mut state = self.state();
            state
                .file_systems
                .efs
                .insert("fs-1".to_owned(), file_system);
        }
    }

    /// Adds the completed restore of the file system `fs-2` of FSx for Lustre, job `job-fs`, with these tags.
    pub fn add_restored_lustre(&self, tags: &[(&str, &str)]) {
        let arn = "arn:aws:fsx:us-west-2:111122223333:file-system/fs-2";
        let point = "arn:aws:fsx:us-west-2:111122223333:backup/backup-2";
        let source = "arn:aws:fsx:us-east-1:111122223333:file-system/fs-0";
        self.add_file_system_job("FSx", [point, source, arn], tags);
        if let Ok(arn) = Arn::parse(arn) {
            let file_system = FsxFileSystem {
                id: "fs-2".to_owned(),
                arn,
                kind: FsxType::Lustre,
                state: FsxState::Available,
                failure: None,
                dns_name: Some("fs-2.fsx.us-west-2.amazonaws.com".to_owned()),
                mount_name: Some("fzlesbev".to_owned()),
                root_volume: None,
                restore_test: false,
            };
            let mut state = self.state();
            state
                .file_systems
                .fsx
                .insert("fs-2".to_owned(), file_system);
        }
    }

    /// Adds the completed restore of the volume `fsvol-3` of FSx for ONTAP into the storage virtual machine
    /// `svm-3`, job `job-fs`, with these tags.
    pub fn add_restored_ontap_volume(&self, tags: &[(&str, &str)]) {
        let arn = "arn:aws:fsx:us-west-2:111122223333:volume/fs-3/fsvol-3";
        let point = "arn:aws:fsx:us-west-2:111122223333:backup/backup-3";
        let source = "arn:aws:fsx:us-east-1:111122223333:volume/fs-0/fsvol-0";
        self.add_file_system_job("FSx", [point, source, arn], tags);
        if let Ok(arn) = Arn::parse(arn) {
            let volume = FsxVolume {
                id: "fsvol-3".to_owned(),
                arn,
                state: FsxState::Created,
                failure: None,
                machine: "svm-3".to_owned(),
                junction_path: Some("/orders".to_owned()),
                restore_test: false,
            };
            let machine = StorageMachine {
                nfs: Some("svm-3.fs-3.fsx.us-west-2.amazonaws.com".to_owned()),
                smb: None,
            };
            let mut state = self.state();
            state
                .file_systems
                .volumes
                .insert("fsvol-3".to_owned(), volume);
            state
                .file_systems
                .machines
                .insert("svm-3".to_owned(), machine);
        }
    }

    fn add_file_system_job(
        &self,
        kind: &str,
        [point, source, created]: [&str; 3],
        tags: &[(&str, &str)],
    ) {
        let completed = FakeClock::new().now() - TimeDelta::seconds(42);
        let job = RestoreJob {
            resource_type: Some(kind.to_owned()),
            source_resource: Arn::parse(source).ok(),
            created_resource: Arn::parse(created).ok(),
            ..completed_job("fs", point, RESTORE_ROLE, completed, completed)
        };
        let mut state = self.state();
        let tags = tags.iter();
        let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        state.tags.insert(point.to_owned(), tags.collect());
        state.restore_jobs.insert(job.id.to_string(), job);
    }
}
