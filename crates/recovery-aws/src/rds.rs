//! RDS: databases of RDS, Aurora, DocumentDB and Neptune, which all have this API.

mod answers;
#[cfg(test)]
mod tests;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{
    CloudwatchLogsExportConfiguration, Filter, ServerlessV2ScalingConfiguration, Tag,
};
use recovery_core::aws::arn::{DbClusterId, DbInstanceId, RecoveryPointArn};
use recovery_core::aws::database::{
    Capacity, CreateAnswer, CreateTrouble, DbChange, DbCluster, DbInstance, NewDbInstance, Scaling,
};
use recovery_core::error::Error;
use recovery_core::ports::{DbClusters, DbInstances};
use recovery_core::tags::Tags;

use crate::client::{Config, Lazy, client};
use crate::error::{classify, code};

const LIST_TAGS: &str = "rds:ListTagsForResource";
const DESCRIBE_INSTANCES: &str = "rds:DescribeDBInstances";
const DESCRIBE_CLUSTERS: &str = "rds:DescribeDBClusters";
const CREATE_INSTANCE: &str = "rds:CreateDBInstance";
const MODIFY_INSTANCE: &str = "rds:ModifyDBInstance";
const MODIFY_CLUSTER: &str = "rds:ModifyDBCluster";

/// RDS in the recovery Region.
#[derive(Debug)]
pub struct Rds {
    client: Lazy<Client>,
}

impl Rds {
    /// The IAM action for the tags of recovery points.
    pub const TAG_ACTIONS: &'static [&'static str] = &[LIST_TAGS];
    /// The IAM actions to describe databases.
    pub const LOOKUP_ACTIONS: &'static [&'static str] = &[DESCRIBE_INSTANCES, DESCRIBE_CLUSTERS];
    /// The IAM actions for the integration of databases. `CreateDBInstance` with tags also needs
    /// `rds:AddTagsToResource` and, in an encrypted cluster, `kms:CreateGrant` and `kms:DescribeKey`.
    pub const INTEGRATION_ACTIONS: &'static [&'static str] = &[
        DESCRIBE_INSTANCES,
        DESCRIBE_CLUSTERS,
        CREATE_INSTANCE,
        MODIFY_INSTANCE,
        MODIFY_CLUSTER,
    ];

    pub fn new(config: &Config) -> Rds {
        Rds {
            client: client!(config, aws_sdk_rds),
        }
    }

    /// The tags of the snapshot that is the recovery point. A resource has at most 50, and they have no pages.
    ///
    /// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ListTagsForResource.html>
    pub(crate) async fn tags(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        let answer = self
            .client
            .list_tags_for_resource()
            .resource_name(point.as_str())
            .send()
            .await
            .map_err(|error| classify(LIST_TAGS, point.as_str(), error))?;
        Ok(answer
            .tag_list
            .unwrap_or_default()
            .into_iter()
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect())
    }
}

impl DbInstances for Rds {
    /// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html>
    async fn describe(&self, id: &DbInstanceId) -> Result<Option<DbInstance>, Error> {
        let answer = self
            .client
            .describe_db_instances()
            .db_instance_identifier(id.as_str())
            .send()
            .await;
        let found = match answer {
            Ok(answer) => answer.db_instances.unwrap_or_default(),
            Err(error) if code(&error) == Some("DBInstanceNotFound") => return Ok(None),
            Err(error) => return Err(classify(DESCRIBE_INSTANCES, id.as_str(), error)),
        };
        found.into_iter().next().map(answers::instance).transpose()
    }

    /// A cluster has at most 16 instances, and a page 100.
    ///
    /// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html>
    async fn list_of_cluster(&self, cluster: &DbClusterId) -> Result<Vec<DbInstance>, Error> {
        let filter = Filter::builder()
            .name("db-cluster-id")
            .values(cluster.as_str())
            .build();
        let answer = self
            .client
            .describe_db_instances()
            .filters(filter)
            .send()
            .await
            .map_err(|error| classify(DESCRIBE_INSTANCES, cluster.as_str(), error))?;
        answer
            .db_instances
            .unwrap_or_default()
            .into_iter()
            .map(answers::instance)
            .collect()
    }

    /// Only the engines of Aurora know `PubliclyAccessible`; those of DocumentDB and Neptune are never public.
    ///
    /// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html>
    async fn create(&self, new: &NewDbInstance) -> Result<CreateAnswer, Error> {
        let tags: Vec<Tag> = new
            .tags
            .iter()
            .map(|(key, value)| Tag::builder().key(*key).value(value).build())
            .collect();
        let answer = self
            .client
            .create_db_instance()
            .db_instance_identifier(new.id.as_str())
            .db_cluster_identifier(new.cluster.as_str())
            .engine(&new.engine)
            .db_instance_class(&new.class)
            .promotion_tier(i32::from(new.promotion_tier))
            .set_publicly_accessible(new.engine.starts_with("aurora").then_some(false))
            .set_tags((!tags.is_empty()).then_some(tags))
            .send()
            .await;
        let error = match answer {
            Ok(_) => return Ok(CreateAnswer::Created),
            Err(error) => error,
        };
        let Some(word) = code(&error) else {
            return Err(classify(CREATE_INSTANCE, new.id.as_str(), error));
        };
        if word == "DBInstanceAlreadyExists" {
            return Ok(CreateAnswer::Exists);
        }
        let trouble = trouble(word);
        let error = classify(CREATE_INSTANCE, new.id.as_str(), error);
        match (trouble, error) {
            (Some(trouble), Error::Permanent(fault)) => Ok(CreateAnswer::Refused(trouble, fault)),
            (_, error) => Err(error),
        }
    }

    /// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBInstance.html>
    async fn modify(&self, id: &DbInstanceId, change: &DbChange) -> Result<(), Error> {
        let request = self
            .client
            .modify_db_instance()
            .db_instance_identifier(id.as_str())
            .apply_immediately(true);
        let request = match change {
            DbChange::Protect => request.deletion_protection(true),
            DbChange::Retention(days) => request.set_backup_retention_period(days_of(*days)),
            DbChange::IamAuthentication => request.enable_iam_database_authentication(true),
            DbChange::ExportLogs(types) => {
                request.cloudwatch_logs_export_configuration(exports(types))
            }
            DbChange::PerformanceInsights => request.enable_performance_insights(true),
        };
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| classify(MODIFY_INSTANCE, id.as_str(), error))
    }
}

impl DbClusters for Rds {
    /// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBClusters.html>
    async fn describe(&self, id: &DbClusterId) -> Result<Option<DbCluster>, Error> {
        let answer = self
            .client
            .describe_db_clusters()
            .db_cluster_identifier(id.as_str())
            .send()
            .await;
        let found = match answer {
            Ok(answer) => answer.db_clusters.unwrap_or_default(),
            Err(error) if code(&error) == Some("DBClusterNotFoundFault") => return Ok(None),
            Err(error) => return Err(classify(DESCRIBE_CLUSTERS, id.as_str(), error)),
        };
        found.into_iter().next().map(answers::cluster).transpose()
    }

    /// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBCluster.html>
    async fn modify(&self, id: &DbClusterId, change: &DbChange) -> Result<(), Error> {
        let request = self
            .client
            .modify_db_cluster()
            .db_cluster_identifier(id.as_str())
            .apply_immediately(true);
        let request = match change {
            DbChange::Protect => request.deletion_protection(true),
            DbChange::Retention(days) => request.set_backup_retention_period(days_of(*days)),
            DbChange::IamAuthentication => request.enable_iam_database_authentication(true),
            DbChange::ExportLogs(types) => {
                request.cloudwatch_logs_export_configuration(exports(types))
            }
            // Of Multi-AZ DB clusters of RDS; those of Aurora have it in their instances.
            DbChange::PerformanceInsights => request.enable_performance_insights(true),
        };
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| classify(MODIFY_CLUSTER, id.as_str(), error))
    }

    /// <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2-administration.html>
    async fn scale(&self, id: &DbClusterId, scaling: Scaling) -> Result<(), Error> {
        let units = |capacity: Capacity| f64::from(capacity.halves) / 2.0;
        let configuration = ServerlessV2ScalingConfiguration::builder()
            .min_capacity(units(scaling.least))
            .max_capacity(units(scaling.most))
            .build();
        self.client
            .modify_db_cluster()
            .db_cluster_identifier(id.as_str())
            .serverless_v2_scaling_configuration(configuration)
            .apply_immediately(true)
            .send()
            .await
            .map(drop)
            .map_err(|error| classify(MODIFY_CLUSTER, id.as_str(), error))
    }
}

/// Why RDS does not create an instance, by its error code. Some codes have the suffix "Fault", others do not.
fn trouble(code: &str) -> Option<CreateTrouble> {
    match code {
        "InstanceQuotaExceeded" | "StorageQuotaExceeded" => Some(CreateTrouble::Quota),
        "InsufficientDBInstanceCapacity" => Some(CreateTrouble::Capacity),
        "DBSubnetGroupDoesNotCoverEnoughAZs"
        | "DBSubnetGroupNotFoundFault"
        | "InvalidSubnet"
        | "InvalidVPCNetworkStateFault" => Some(CreateTrouble::Network),
        "KMSKeyNotAccessibleFault" => Some(CreateTrouble::Key),
        "InvalidParameterCombination" | "InvalidParameterValue" | "StorageTypeNotSupported" => {
            Some(CreateTrouble::Request)
        }
        _ => None,
    }
}

/// Days as the SDK takes them. No tag has more than 35.
fn days_of(days: u32) -> Option<i32> {
    i32::try_from(days).ok()
}

fn exports(types: &std::collections::BTreeSet<String>) -> CloudwatchLogsExportConfiguration {
    CloudwatchLogsExportConfiguration::builder()
        .set_enable_log_types(Some(types.iter().cloned().collect()))
        .build()
}
