//! The file systems of the rehearsal: creates them in the primary Region, and observes them in the recovery Region.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_fsx::types::{
    CreateFileSystemLustreConfiguration, FileSystemType, LustreDeploymentType,
};
use serde_json::{Value, json};

use crate::observations::RestoredFileSystem;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::region::LocalRegion;
use crate::stores::Stores;
use crate::workload::{FileSystem, FileSystemKind, PRIMARY_REGION, REGION, WORKLOAD};

/// The tag of everything that a drill creates.
const DRILL: &str = "recovery:drill";

/// Clients with the operator's credentials, for both Regions.
pub(crate) struct FileSystems<'a> {
    region: &'a LocalRegion,
    primary_ec2: aws_sdk_ec2::Client,
    primary_efs: aws_sdk_efs::Client,
    primary_fsx: aws_sdk_fsx::Client,
    efs: aws_sdk_efs::Client,
    fsx: aws_sdk_fsx::Client,
}

impl<'a> FileSystems<'a> {
    pub(crate) fn on(region: &'a LocalRegion) -> FileSystems<'a> {
        let (primary, config) = (region.sdk_config(PRIMARY_REGION), region.sdk_config(REGION));
        FileSystems {
            region,
            primary_ec2: aws_sdk_ec2::Client::new(&primary),
            primary_efs: aws_sdk_efs::Client::new(&primary),
            primary_fsx: aws_sdk_fsx::Client::new(&primary),
            efs: aws_sdk_efs::Client::new(&config),
            fsx: aws_sdk_fsx::Client::new(&config),
        }
    }

    /// Creates them in the primary Region. Returns their ARNs.
    pub(crate) async fn protect(
        &self,
        file_systems: &[FileSystem],
    ) -> Result<Vec<String>, Problem> {
        let mut arns = Vec::new();
        for file_system in file_systems {
            let arn = match file_system.kind {
                FileSystemKind::Efs => self.create_efs(file_system).await?,
                FileSystemKind::Lustre => self.create_lustre(file_system).await?,
            };
            arns.push(
                arn.ok_or_else(|| Problem::said(format!("the {} has no ARN", file_system.name)))?,
            );
        }
        self.region.wait_until_idle()?;
        Ok(arns)
    }

    async fn create_efs(&self, file_system: &FileSystem) -> Result<Option<String>, Problem> {
        let mut request = self
            .primary_efs
            .create_file_system()
            .creation_token(file_system.path)
            .encrypted(true);
        for (key, value) in file_system.tags {
            let tag = aws_sdk_efs::types::Tag::builder().key(*key).value(*value);
            request = request.tags(
                tag.build()
                    .map_err(|error| not_created(file_system, error))?,
            );
        }
        let created = request.send().await;
        Ok(created
            .map_err(|error| not_created(file_system, error))?
            .file_system_arn)
    }

    /// In a network that the recovery Region does not have.
    async fn create_lustre(&self, file_system: &FileSystem) -> Result<Option<String>, Problem> {
        let vpc = self.primary_ec2.create_vpc().cidr_block("10.10.0.0/16");
        let vpc = vpc
            .send()
            .await
            .map_err(|error| not_created(file_system, error))?
            .vpc
            .and_then(|vpc| vpc.vpc_id);
        let subnet = self
            .primary_ec2
            .create_subnet()
            .set_vpc_id(vpc)
            .cidr_block("10.10.0.0/24")
            .availability_zone(format!("{PRIMARY_REGION}a"))
            .send()
            .await
            .map_err(|error| not_created(file_system, error))?
            .subnet
            .and_then(|subnet| subnet.subnet_id);
        let tags = file_system.tags.iter().map(|(key, value)| {
            aws_sdk_fsx::types::Tag::builder()
                .key(*key)
                .value(*value)
                .build()
        });
        let created = self
            .primary_fsx
            .create_file_system()
            .file_system_type(FileSystemType::Lustre)
            .storage_capacity(1200)
            .subnet_ids(subnet.unwrap_or_default())
            .lustre_configuration(
                CreateFileSystemLustreConfiguration::builder()
                    .deployment_type(LustreDeploymentType::Persistent2)
                    .per_unit_storage_throughput(125)
                    .build(),
            )
            .set_tags(Some(tags.collect()))
            .send()
            .await
            .map_err(|error| not_created(file_system, error))?;
        Ok(created.file_system.and_then(|created| created.resource_arn))
    }

    /// The restored file system, its network, addresses and mounts.
    pub(crate) async fn restored(
        &self,
        operator: &Operator<'_>,
        stores: &Stores<'_>,
        file_system: FileSystem,
        job: String,
        point: &str,
    ) -> Result<RestoredFileSystem, Problem> {
        let id = operator.created(&job).await?.id;
        let found = match file_system.kind {
            FileSystemKind::Efs => self.found_efs(operator, &id).await?,
            FileSystemKind::Lustre => self.found_lustre(operator, &id).await?,
        };
        Ok(RestoredFileSystem {
            servers: operator
                .instances_for(WORKLOAD, file_system.server)
                .await?
                .into_iter()
                .collect(),
            published: stores.published(file_system.path).await?,
            recovery_point: point.to_owned(),
            job,
            id,
            file_system,
            state: found.state,
            expected: found.expected,
            addresses: found.addresses,
            source: found.source,
        })
    }

    async fn found_efs(&self, operator: &Operator<'_>, id: &str) -> Result<Found, Problem> {
        let group = operator.resource(WORKLOAD, "FileSecurityGroup").await?;
        let targets = self.efs.describe_mount_targets().file_system_id(id);
        let targets = targets.send().await.map_err(|error| unread(id, error))?;
        let mut network = BTreeSet::new();
        for target in targets.mount_targets() {
            let groups = self
                .efs
                .describe_mount_target_security_groups()
                .mount_target_id(target.mount_target_id())
                .send()
                .await
                .map_err(|error| unread(id, error))?;
            let state = target.life_cycle_state().as_str();
            let groups = groups.security_groups().join(" ");
            network.insert(format!("{} {state} {groups}", target.subnet_id()));
        }
        let mut expected = BTreeSet::new();
        for subnet in ["ServerSubnet", "GroupSubnet"] {
            let subnet = operator.resource(WORKLOAD, subnet).await?;
            expected.insert(format!("{subnet} available {group}"));
        }
        let points = self.efs.describe_access_points().file_system_id(id);
        let points = points.send().await.map_err(|error| unread(id, error))?;
        let paths: Vec<Value> = points
            .access_points()
            .iter()
            .filter_map(|point| point.root_directory())
            .map(|root| json!({"path": root.path(), "creates": root.creation_info().is_some()}))
            .collect();
        let directory = self.region.directories(id)?;
        let directory = directory[0].as_str().unwrap_or("(none)");
        let point = points
            .access_points()
            .first()
            .and_then(|point| point.access_point_id());
        Ok(Found {
            state: json!({"mountTargets": network, "accessPoints": paths}),
            expected: json!({
                "mountTargets": expected,
                "accessPoints": [{"path": format!("/{directory}"), "creates": false}],
            }),
            addresses: [
                ("id", id.to_owned()),
                ("access-point", point.unwrap_or_default().to_owned()),
            ]
            .map(|(leaf, value)| (leaf.to_owned(), value))
            .into(),
            source: id.to_owned(),
        })
    }

    async fn found_lustre(&self, operator: &Operator<'_>, id: &str) -> Result<Found, Problem> {
        let described = self.fsx.describe_file_systems().file_system_ids(id);
        let described = described.send().await.map_err(|error| unread(id, error))?;
        let file_system = described
            .file_systems()
            .first()
            .ok_or_else(|| Problem::said(format!("{id} does not exist")))?;
        let name = file_system.dns_name().unwrap_or_default().to_owned();
        let mount_name = file_system
            .lustre_configuration()
            .and_then(|lustre| lustre.mount_name());
        let subnet = operator.resource(WORKLOAD, "ServerSubnet").await?;
        Ok(Found {
            state: json!({
                "status": file_system.lifecycle().map(|it| it.as_str()),
                "subnets": file_system.subnet_ids(),
            }),
            expected: json!({"status": "AVAILABLE", "subnets": [subnet]}),
            addresses: [
                ("id", id.to_owned()),
                ("dns-name", name.clone()),
                ("mount-name", mount_name.unwrap_or_default().to_owned()),
            ]
            .map(|(leaf, value)| (leaf.to_owned(), value))
            .into(),
            source: name,
        })
    }

    /// What is left of drills in the recovery Region: file systems and access points with their tag.
    pub(crate) async fn left_by_drills(&self) -> Result<Vec<String>, Problem> {
        let mut left = Vec::new();
        let listed = self.efs.describe_file_systems().send().await;
        for file_system in listed.map_err(unlisted)?.file_systems() {
            if file_system.tags().iter().any(|tag| tag.key() == DRILL) {
                left.push(file_system.file_system_id().to_owned());
            }
        }
        let listed = self.efs.describe_access_points().send().await;
        let listed = listed.map_err(unlisted)?;
        for point in listed.access_points() {
            if point.tags().iter().any(|tag| tag.key() == DRILL) {
                left.extend(point.access_point_id().map(str::to_owned));
            }
        }
        let listed = self.fsx.describe_file_systems().send().await;
        let listed = listed.map_err(unlisted)?;
        for file_system in listed.file_systems() {
            if file_system
                .tags()
                .iter()
                .any(|tag| tag.key() == Some(DRILL))
            {
                left.extend(file_system.file_system_id().map(str::to_owned));
            }
        }
        Ok(left)
    }
}

/// What was found of a restored file system.
struct Found {
    state: Value,
    expected: Value,
    addresses: BTreeMap<String, String>,
    source: String,
}

fn not_created(file_system: &FileSystem, error: impl std::error::Error) -> Problem {
    Problem::new(
        format!("the {} could not be created", file_system.name),
        error,
    )
}

fn unread(id: &str, error: impl std::error::Error) -> Problem {
    Problem::new(format!("{id} could not be described"), error)
}

fn unlisted(error: impl std::error::Error) -> Problem {
    Problem::new(
        "the file systems that drills left could not be listed",
        error,
    )
}
