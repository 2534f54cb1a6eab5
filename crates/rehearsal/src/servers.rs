//! The instance of the rehearsal that is backed up as an image: creates it in the primary Region, and observes it in the
//! recovery Region.

use aws_sdk_ec2::types::{
    IamInstanceProfileSpecification, InstanceType, ResourceType, Tag, TagSpecification,
};
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use serde_json::{Value, json};

use crate::observations::RestoredServer;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::region::LocalRegion;
use crate::stores::Stores;
use crate::workload::{ACCOUNT, IMAGE, PRIMARY_REGION, REGION, Server, WORKLOAD};

/// Clients with the operator's credentials, for both Regions.
pub(crate) struct Servers {
    primary: aws_sdk_ec2::Client,
    ec2: aws_sdk_ec2::Client,
    balancers: aws_sdk_elasticloadbalancingv2::Client,
}

impl Servers {
    pub(crate) fn on(region: &LocalRegion) -> Servers {
        let (primary, config) = (region.sdk_config(PRIMARY_REGION), region.sdk_config(REGION));
        Servers {
            primary: aws_sdk_ec2::Client::new(&primary),
            ec2: aws_sdk_ec2::Client::new(&config),
            balancers: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        }
    }

    /// Creates it in the primary Region, in a network that the recovery Region does not have. Returns its ARN.
    pub(crate) async fn protect(&self, server: &Server, profile: &str) -> Result<String, Problem> {
        let failed = |error: aws_sdk_ec2::Error| {
            Problem::new(format!("the {} could not be created", server.name), error)
        };
        let vpc = self.primary.create_vpc().cidr_block("10.11.0.0/16");
        let vpc = vpc.send().await.map_err(|error| failed(error.into()))?;
        let subnet = self
            .primary
            .create_subnet()
            .set_vpc_id(vpc.vpc.and_then(|vpc| vpc.vpc_id))
            .cidr_block("10.11.0.0/24")
            .send()
            .await
            .map_err(|error| failed(error.into()))?;
        let tags = server.tags.iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(*key).value(*value).build());
        let launched = self
            .primary
            .run_instances()
            .image_id(IMAGE)
            .instance_type(InstanceType::T4gSmall)
            .min_count(1)
            .max_count(1)
            .set_subnet_id(subnet.subnet.and_then(|subnet| subnet.subnet_id))
            .iam_instance_profile(
                IamInstanceProfileSpecification::builder()
                    .name(profile)
                    .build(),
            )
            .tag_specifications(
                TagSpecification::builder()
                    .resource_type(ResourceType::Instance)
                    .set_tags(Some(tags.collect()))
                    .build(),
            )
            .send()
            .await
            .map_err(|error| failed(error.into()))?;
        let id = launched
            .instances()
            .first()
            .and_then(|instance| instance.instance_id())
            .ok_or_else(|| Problem::said(format!("the {} has no id", server.name)))?;
        Ok(format!(
            "arn:aws:ec2:{PRIMARY_REGION}:{ACCOUNT}:instance/{id}"
        ))
    }

    /// The restored instance, its network, profile, volumes, and its health in the target group.
    pub(crate) async fn restored(
        &self,
        operator: &Operator<'_>,
        stores: &Stores<'_>,
        server: Server,
        job: String,
        point: &str,
    ) -> Result<RestoredServer, Problem> {
        let made = operator.created(&job).await?;
        let id = made.id;
        let described = self.ec2.describe_instances().instance_ids(&id).send().await;
        let described = described.map_err(|error| unread(&id, error))?;
        let instance = described
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances())
            .next()
            .ok_or_else(|| Problem::said(format!("{id} does not exist")))?;
        let groups = instance.security_groups().iter();
        let volumes = instance.block_device_mappings().iter();
        let mut encrypted = Vec::new();
        for volume in volumes.filter_map(|mapping| mapping.ebs()?.volume_id()) {
            let described = self.ec2.describe_volumes().volume_ids(volume).send().await;
            let described = described.map_err(|error| unread(volume, error))?;
            encrypted.extend(described.volumes().iter().map(|volume| volume.encrypted()));
        }
        let group = operator.resource(WORKLOAD, server.target_group).await?;
        let found = async |logical_id: &str| operator.resource(WORKLOAD, logical_id).await;
        let address = instance.private_ip_address().unwrap_or_default().to_owned();
        Ok(RestoredServer {
            state: json!({
                "state": instance.state().and_then(|state| state.name()).map(|name| name.as_str()),
                "subnet": instance.subnet_id(),
                "securityGroups": groups.map(|group| group.group_id()).collect::<Vec<_>>(),
                "hasProfile": instance.iam_instance_profile().is_some(),
                "encrypted": encrypted,
                "health": self.health(&group).await?,
            }),
            expected: json!({
                "state": "running",
                "subnet": found("ServerSubnet").await?,
                "securityGroups": [found("ClientSecurityGroup").await?],
                "hasProfile": true,
                "encrypted": [true],
                "health": {&id: "healthy"},
            }),
            addresses: [
                ("id", id.clone()),
                ("arn", made.arn),
                ("private-ip", address),
            ]
            .map(|(leaf, value)| (leaf.to_owned(), value))
            .into(),
            published: stores.published(server.path).await?,
            recovery_point: point.to_owned(),
            job,
            id,
            server,
        })
    }

    /// The state of each target of a target group, by its id.
    async fn health(&self, group: &str) -> Result<Value, Problem> {
        let described = self
            .balancers
            .describe_target_health()
            .target_group_arn(group)
            .send()
            .await
            .map_err(|error| unread(group, error))?;
        let id = |target: &TargetDescription| target.id().unwrap_or_default().to_owned();
        let health = described.target_health_descriptions().iter();
        Ok(health
            .filter_map(|health| {
                let state = health.target_health()?.state()?.as_str();
                Some((id(health.target()?), json!(state)))
            })
            .collect::<serde_json::Map<_, _>>()
            .into())
    }

    /// The state of an instance; `None` if EC2 does not show it any more.
    pub(crate) async fn state(&self, id: &str) -> Option<String> {
        let described = self.ec2.describe_instances().instance_ids(id).send().await;
        let described = described.ok()?;
        let instance = described.reservations().first()?.instances().first()?;
        let state = instance.state()?.name()?.as_str();
        Some(state.to_owned())
    }
}

fn unread(id: &str, error: impl std::error::Error) -> Problem {
    Problem::new(format!("{id} could not be described"), error)
}
