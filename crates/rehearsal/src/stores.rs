//! The databases and tables of the rehearsal: creates them in the primary Region, and observes them in the recovery
//! Region.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, ScalarAttributeType, StreamSpecification, StreamViewType,
    TimeToLiveSpecification,
};
use aws_sdk_rds::types::{ServerlessV2ScalingConfiguration, Tag};
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::region::LocalRegion;
use crate::workload::{ACCOUNT, DRILL_STACK, PRIMARY_REGION, REGION, Store, StoreKind};

/// The tag of everything that a drill creates.
const DRILL: &str = "recovery:drill";
/// The subnet group of the databases in the primary Region.
const PRIMARY_SUBNETS: &str = "primary-databases";
/// The item of each table.
const ITEM: &str = "1";

/// Clients with the operator's credentials, for both Regions.
pub(crate) struct Stores<'a> {
    region: &'a LocalRegion,
    primary_ec2: aws_sdk_ec2::Client,
    primary_rds: aws_sdk_rds::Client,
    primary_dynamodb: aws_sdk_dynamodb::Client,
    rds: aws_sdk_rds::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    ssm: aws_sdk_ssm::Client,
}

impl<'a> Stores<'a> {
    pub(crate) fn on(region: &'a LocalRegion) -> Stores<'a> {
        let (primary, config) = (region.sdk_config(PRIMARY_REGION), region.sdk_config(REGION));
        Stores {
            region,
            primary_ec2: aws_sdk_ec2::Client::new(&primary),
            primary_rds: aws_sdk_rds::Client::new(&primary),
            primary_dynamodb: aws_sdk_dynamodb::Client::new(&primary),
            rds: aws_sdk_rds::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
        }
    }

    /// Creates them in the primary Region, with settings that a restore loses. Returns their ARNs.
    pub(crate) async fn protect(&self, stores: &[Store]) -> Result<Vec<String>, Problem> {
        self.create_network().await?;
        for store in stores {
            match store.kind {
                StoreKind::Database => self.create_database(store).await?,
                StoreKind::Cluster => self.create_cluster(store).await?,
                StoreKind::DocumentDb => self.create_plain_cluster(store, "docdb", "5.0.0").await?,
                StoreKind::Neptune => {
                    self.create_plain_cluster(store, "neptune", "1.4.5.0")
                        .await?;
                }
                StoreKind::Table => self.create_table(store).await?,
            }
        }
        self.region.wait_until_idle()?;
        for table in stores.iter().filter(|it| it.kind == StoreKind::Table) {
            self.fill_table(table).await?;
        }
        self.region.wait_until_idle()?;
        Ok(stores
            .iter()
            .map(|store| arn_in(PRIMARY_REGION, store.kind, store.source))
            .collect())
    }

    /// A subnet group that the recovery Region does not have.
    async fn create_network(&self) -> Result<(), Problem> {
        let vpc = self
            .primary_ec2
            .create_vpc()
            .cidr_block("10.9.0.0/16")
            .send()
            .await;
        let vpc = vpc.map_err(no_network)?.vpc.and_then(|vpc| vpc.vpc_id);
        let mut group = self
            .primary_rds
            .create_db_subnet_group()
            .db_subnet_group_name(PRIMARY_SUBNETS)
            .db_subnet_group_description("The databases of the primary Region.");
        for (zone, block) in [("a", "10.9.0.0/24"), ("b", "10.9.1.0/24")] {
            let subnet = self
                .primary_ec2
                .create_subnet()
                .set_vpc_id(vpc.clone())
                .cidr_block(block)
                .availability_zone(format!("{PRIMARY_REGION}{zone}"))
                .send()
                .await
                .map_err(no_network)?
                .subnet
                .and_then(|subnet| subnet.subnet_id);
            group = group.subnet_ids(subnet.unwrap_or_default());
        }
        group.send().await.map_err(no_network)?;
        Ok(())
    }

    async fn create_database(&self, store: &Store) -> Result<(), Problem> {
        self.primary_rds
            .create_db_instance()
            .db_instance_identifier(store.source)
            .db_instance_class("db.t4g.medium")
            .engine("postgres")
            .engine_version("16.4")
            .allocated_storage(20)
            .master_username("owner")
            .master_user_password("example-password")
            .db_subnet_group_name(PRIMARY_SUBNETS)
            .backup_retention_period(14)
            .deletion_protection(true)
            .set_tags(Some(rds_tags(store)))
            .send()
            .await
            .map_err(|error| not_created(store, error))?;
        Ok(())
    }

    async fn create_cluster(&self, store: &Store) -> Result<(), Problem> {
        self.primary_rds
            .create_db_cluster()
            .db_cluster_identifier(store.source)
            .engine("aurora-postgresql")
            .engine_version("16.4")
            .master_username("owner")
            .master_user_password("example-password")
            .db_subnet_group_name(PRIMARY_SUBNETS)
            .serverless_v2_scaling_configuration(
                ServerlessV2ScalingConfiguration::builder()
                    .min_capacity(0.5)
                    .max_capacity(8.0)
                    .build(),
            )
            .enable_cloudwatch_logs_exports("postgresql")
            .deletion_protection(true)
            .set_tags(Some(rds_tags(store)))
            .send()
            .await
            .map_err(|error| not_created(store, error))?;
        Ok(())
    }

    /// RDS's API serves DocumentDB and Neptune, too.
    async fn create_plain_cluster(
        &self,
        store: &Store,
        engine: &str,
        version: &str,
    ) -> Result<(), Problem> {
        let mut request = self
            .primary_rds
            .create_db_cluster()
            .db_cluster_identifier(store.source)
            .engine(engine)
            .engine_version(version)
            .db_subnet_group_name(PRIMARY_SUBNETS)
            .deletion_protection(true)
            .set_tags(Some(rds_tags(store)));
        // Neptune has no users of its own.
        if store.kind == StoreKind::DocumentDb {
            request = request
                .master_username("owner")
                .master_user_password("example-password");
        }
        request
            .send()
            .await
            .map_err(|error| not_created(store, error))?;
        Ok(())
    }

    async fn create_table(&self, store: &Store) -> Result<(), Problem> {
        let failed = |error| Problem::new("the table could not be described", error);
        let key = KeySchemaElement::builder()
            .attribute_name("id")
            .key_type(KeyType::Hash)
            .build()
            .map_err(failed)?;
        let attribute = AttributeDefinition::builder()
            .attribute_name("id")
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(failed)?;
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewImage)
            .build()
            .map_err(failed)?;
        let mut tags = Vec::new();
        for (key, value) in store.tags {
            let tag = aws_sdk_dynamodb::types::Tag::builder()
                .key(*key)
                .value(*value);
            tags.push(tag.build().map_err(failed)?);
        }
        self.primary_dynamodb
            .create_table()
            .table_name(store.source)
            .key_schema(key)
            .attribute_definitions(attribute)
            .billing_mode(BillingMode::PayPerRequest)
            .stream_specification(stream)
            .deletion_protection_enabled(true)
            .set_tags(Some(tags))
            .send()
            .await
            .map_err(|error| not_created(store, error))?;
        Ok(())
    }

    /// Gives a table an item and the settings that a new table cannot have.
    async fn fill_table(&self, store: &Store) -> Result<(), Problem> {
        let failed =
            |error| Problem::new("the settings of the table could not be described", error);
        let ttl = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name("expires")
            .build()
            .map_err(failed)?;
        let recovery = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build()
            .map_err(failed)?;
        let table = &self.primary_dynamodb;
        table
            .put_item()
            .table_name(store.source)
            .item("id", AttributeValue::S(ITEM.to_owned()))
            .send()
            .await
            .map_err(|error| not_created(store, error))?;
        table
            .update_time_to_live()
            .table_name(store.source)
            .time_to_live_specification(ttl)
            .send()
            .await
            .map_err(|error| not_created(store, error))?;
        table
            .update_continuous_backups()
            .table_name(store.source)
            .point_in_time_recovery_specification(recovery)
            .send()
            .await
            .map_err(|error| not_created(store, error))?;
        Ok(())
    }

    /// The state of a resource in the recovery Region, as far as the expectations name it; null if it does not exist.
    pub(crate) async fn state(&self, store: &Store) -> Value {
        let state = match store.kind {
            StoreKind::Database => self.database(store.name).await,
            StoreKind::Cluster | StoreKind::DocumentDb | StoreKind::Neptune => {
                self.cluster(store.name).await
            }
            StoreKind::Table => self.table(store.name).await,
        };
        state.unwrap_or(Value::Null)
    }

    async fn database(&self, name: &str) -> Option<Value> {
        let described = self
            .rds
            .describe_db_instances()
            .db_instance_identifier(name);
        let described = described.send().await.ok()?;
        let instance = described.db_instances().first()?;
        let groups = instance.vpc_security_groups().iter();
        let group = instance.db_parameter_groups().first();
        Some(json!({
            "status": instance.db_instance_status(),
            "subnetGroup": instance.db_subnet_group().and_then(|it| it.db_subnet_group_name()),
            "securityGroups": groups.map(|it| it.vpc_security_group_id()).collect::<Vec<_>>(),
            "parameterGroup": group.and_then(|it| it.db_parameter_group_name()),
            "protected": instance.deletion_protection(),
            "retention": instance.backup_retention_period(),
        }))
    }

    async fn cluster(&self, name: &str) -> Option<Value> {
        let described = self.rds.describe_db_clusters().db_cluster_identifier(name);
        let described = described.send().await.ok()?;
        let cluster = described.db_clusters().first()?;
        let scaling = cluster.serverless_v2_scaling_configuration();
        let groups = cluster.vpc_security_groups().iter();
        let instances = self.rds.describe_db_instances().filters(
            aws_sdk_rds::types::Filter::builder()
                .name("db-cluster-id")
                .values(name)
                .build(),
        );
        let instances = instances.send().await.ok()?;
        let mut instances: Vec<Value> = instances
            .db_instances()
            .iter()
            .map(|it| {
                json!([
                    it.db_instance_identifier(),
                    it.db_instance_class(),
                    it.db_instance_status()
                ])
            })
            .collect();
        instances.sort_by_key(Value::to_string);
        Some(json!({
            "status": cluster.status(),
            "subnetGroup": cluster.db_subnet_group(),
            "securityGroups": groups.map(|it| it.vpc_security_group_id()).collect::<Vec<_>>(),
            "instances": instances,
            "scaling": scaling.map(|it| [it.min_capacity(), it.max_capacity()]),
            "protected": cluster.deletion_protection(),
            "logs": cluster.enabled_cloudwatch_logs_exports(),
        }))
    }

    async fn table(&self, name: &str) -> Option<Value> {
        let described = self.dynamodb.describe_table().table_name(name);
        let table = described.send().await.ok()?.table?;
        let ttl = self.dynamodb.describe_time_to_live().table_name(name);
        let ttl = ttl.send().await.ok()?.time_to_live_description;
        let backups = self.dynamodb.describe_continuous_backups().table_name(name);
        let backups = backups.send().await.ok()?.continuous_backups_description;
        let recovery = backups.and_then(|it| it.point_in_time_recovery_description);
        let item = self
            .dynamodb
            .get_item()
            .table_name(name)
            .key("id", AttributeValue::S(ITEM.to_owned()));
        let stream = table
            .stream_specification
            .and_then(|it| it.stream_view_type);
        Some(json!({
            "status": table.table_status.map(|it| it.as_str().to_owned()),
            "stream": stream.map(|it| it.as_str().to_owned()),
            "ttl": ttl.and_then(|it| it.attribute_name),
            "pitr": recovery.and_then(|it| it.point_in_time_recovery_status).map(|it| it.as_str().to_owned()),
            "protected": table.deletion_protection_enabled,
            "item": item.send().await.ok()?.item.is_some(),
        }))
    }

    /// The parameters below a path, without those of drills.
    pub(crate) async fn published(&self, path: &str) -> Result<BTreeMap<String, String>, Problem> {
        let pages = self.ssm.get_parameters_by_path().path(path);
        let mut pages = pages.into_paginator().send();
        let mut published = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                Problem::new(
                    format!("the parameters below {path} could not be read"),
                    error,
                )
            })?;
            for parameter in page.parameters.unwrap_or_default() {
                let name = parameter.name.unwrap_or_default();
                let leaf = name.rsplit('/').next().unwrap_or_default().to_owned();
                published.insert(leaf, parameter.value.unwrap_or_default());
            }
        }
        Ok(published)
    }

    /// The addresses that should be published: host, port and ARN as the services have them.
    pub(crate) async fn addresses(&self, store: &Store) -> BTreeMap<String, String> {
        let found: Option<Vec<(&str, String)>> = match store.kind {
            StoreKind::Database => self.addresses_of_database(store.name).await,
            StoreKind::Cluster | StoreKind::DocumentDb | StoreKind::Neptune => {
                self.addresses_of_cluster(store.name).await
            }
            StoreKind::Table => self.addresses_of_table(store.name).await,
        };
        found
            .into_iter()
            .flatten()
            .map(|(leaf, value)| (leaf.to_owned(), value))
            .collect()
    }

    async fn addresses_of_database(&self, name: &str) -> Option<Vec<(&'static str, String)>> {
        let described = self
            .rds
            .describe_db_instances()
            .db_instance_identifier(name);
        let instance = described.send().await.ok()?.db_instances?.pop()?;
        let endpoint = instance.endpoint?;
        Some(vec![
            ("endpoint", endpoint.address?),
            ("port", endpoint.port?.to_string()),
            ("id", instance.db_instance_identifier?),
            ("arn", instance.db_instance_arn?),
            ("engine", instance.engine?),
        ])
    }

    async fn addresses_of_cluster(&self, name: &str) -> Option<Vec<(&'static str, String)>> {
        let described = self.rds.describe_db_clusters().db_cluster_identifier(name);
        let cluster = described.send().await.ok()?.db_clusters?.pop()?;
        Some(vec![
            ("endpoint", cluster.endpoint?),
            ("reader-endpoint", cluster.reader_endpoint?),
            ("port", cluster.port?.to_string()),
            ("id", cluster.db_cluster_identifier?),
            ("arn", cluster.db_cluster_arn?),
            ("engine", cluster.engine?),
        ])
    }

    async fn addresses_of_table(&self, name: &str) -> Option<Vec<(&'static str, String)>> {
        let described = self.dynamodb.describe_table().table_name(name);
        let table = described.send().await.ok()?.table?;
        let mut addresses = vec![("name", table.table_name?), ("arn", table.table_arn?)];
        addresses.extend(table.latest_stream_arn.map(|arn| ("stream-arn", arn)));
        Some(addresses)
    }

    /// Deletes a database of the recovery Region that no restore can use.
    pub(crate) async fn delete_database(&self, name: &str) -> Result<(), Problem> {
        self.rds
            .delete_db_instance()
            .db_instance_identifier(name)
            .skip_final_snapshot(true)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{name} could not be deleted"), error))?;
        self.region.wait_until_idle()
    }

    /// What is left of drills in the recovery Region: databases with their tag, tables with their name, and parameters.
    pub(crate) async fn left_by_drills(&self) -> Result<Vec<String>, Problem> {
        let is_of_drill = |tags: &[Tag]| tags.iter().any(|tag| tag.key() == Some(DRILL));
        let mut left = Vec::new();
        let clusters = self.rds.describe_db_clusters().send().await;
        for cluster in clusters.map_err(unlisted)?.db_clusters() {
            if is_of_drill(cluster.tag_list()) {
                left.extend(cluster.db_cluster_identifier().map(str::to_owned));
            }
        }
        let databases = self.rds.describe_db_instances().send().await;
        for database in databases.map_err(unlisted)?.db_instances() {
            if is_of_drill(database.tag_list()) {
                left.extend(database.db_instance_identifier().map(str::to_owned));
            }
        }
        let tables = self.dynamodb.list_tables().send().await;
        let tables = tables.map_err(unlisted)?;
        let of_drill = tables
            .table_names()
            .iter()
            .filter(|name| name.contains(DRILL_STACK));
        left.extend(of_drill.cloned());
        let mut pages = self.ssm.describe_parameters().into_paginator().send();
        while let Some(page) = pages.next().await {
            let parameters = page.map_err(unlisted)?.parameters.unwrap_or_default();
            let names = parameters.into_iter().filter_map(|it| it.name);
            left.extend(names.filter(|name| name.contains("/drill/")));
        }
        Ok(left)
    }
}

/// The ARN of a database, cluster or table.
pub(crate) fn arn_in(region: &str, kind: StoreKind, name: &str) -> String {
    match kind {
        StoreKind::Database => format!("arn:aws:rds:{region}:{ACCOUNT}:db:{name}"),
        StoreKind::Cluster | StoreKind::DocumentDb | StoreKind::Neptune => {
            format!("arn:aws:rds:{region}:{ACCOUNT}:cluster:{name}")
        }
        StoreKind::Table => format!("arn:aws:dynamodb:{region}:{ACCOUNT}:table/{name}"),
    }
}

fn rds_tags(store: &Store) -> Vec<Tag> {
    let tags = store.tags.iter();
    tags.map(|(key, value)| Tag::builder().key(*key).value(*value).build())
        .collect()
}

fn no_network(error: impl std::error::Error) -> Problem {
    Problem::new(
        "the network of the primary Region could not be created",
        error,
    )
}

fn unlisted(error: impl std::error::Error) -> Problem {
    Problem::new("what drills left could not be listed", error)
}

fn not_created(store: &Store, error: impl std::error::Error) -> Problem {
    Problem::new(
        format!(
            "the {} {} could not be created",
            store.kind.noun(),
            store.source
        ),
        error,
    )
}
