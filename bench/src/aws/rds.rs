//! RDS: <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/Welcome.html>.

use std::collections::BTreeSet;

use testkit::answers::xml;
use testkit::http::{Form, Request};

use super::data_stores::{Database, DbSettings};
use super::world::{World, ids};
use super::{Answer, query, query_error};

/// How many answers show a change as not yet applied.
const ANSWERS_UNTIL_APPLIED: usize = 1;

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let form = request.form();
    let action = form.get("Action").unwrap_or_default().to_owned();
    let outcome = match action.as_str() {
        "ListTagsForResource" => list_tags(world, &form),
        "DescribeDBInstances" => describe_instances(world, &form),
        "DescribeDBClusters" => describe_clusters(world, &form),
        "CreateDBInstance" => create_instance(world, &form),
        "ModifyDBInstance" => modify_instance(world, &form),
        "ModifyDBCluster" => modify_cluster(world, &form),
        _ => Err(("InvalidAction", "this action is not faked".to_owned())),
    };
    let answer = match outcome {
        Ok(inner) => query(&action, &inner),
        Err((code, message)) => query_error(code, &message),
    };
    (action, answer)
}

type Outcome = Result<String, (&'static str, String)>;

fn list_tags(world: &World, form: &Form) -> Outcome {
    let name = form.get("ResourceName").unwrap_or_default();
    if ![ids::DB_SNAPSHOT, ids::DB_CLUSTER_SNAPSHOT].contains(&name) {
        return Err(("DBSnapshotNotFound", format!("{name} does not exist")));
    }
    let tags = world.data_stores.database_tags.iter().map(|(key, value)| {
        format!(
            "<Tag><Key>{}</Key><Value>{}</Value></Tag>",
            xml(key),
            xml(value)
        )
    });
    Ok(format!("<TagList>{}</TagList>", tags.collect::<String>()))
}

fn describe_instances(world: &mut World, form: &Form) -> Outcome {
    let instances = &mut world.data_stores.instances;
    let of_cluster = form
        .get("Filters.Filter.1.Name")
        .filter(|name| *name == "db-cluster-id")
        .and_then(|_| form.get("Filters.Filter.1.Values.Value.1"));
    let found = match (form.get("DBInstanceIdentifier"), of_cluster) {
        (Some(id), _) => match instances.get_mut(id) {
            Some(instance) => {
                instance.pass();
                shown_instance(id, instance)
            }
            None => {
                return Err(("DBInstanceNotFound", format!("DBInstance {id} not found.")));
            }
        },
        (None, Some(cluster)) => instances
            .iter_mut()
            .filter(|(_, instance)| instance.cluster.as_deref() == Some(cluster))
            .map(|(id, instance)| {
                instance.pass();
                shown_instance(id, instance)
            })
            .collect(),
        (None, None) => {
            return Err((
                "InvalidParameterValue",
                "only one instance or those of a cluster are faked".to_owned(),
            ));
        }
    };
    Ok(format!("<DBInstances>{found}</DBInstances>"))
}

fn describe_clusters(world: &mut World, form: &Form) -> Outcome {
    known_cluster(form)?;
    let cluster = &mut world.data_stores.cluster;
    cluster.pass();
    Ok(format!(
        "<DBClusters>{}</DBClusters>",
        shown_cluster(cluster)
    ))
}

fn create_instance(world: &mut World, form: &Form) -> Outcome {
    known_cluster(form)?;
    let id = form.get("DBInstanceIdentifier").unwrap_or_default();
    let instances = &mut world.data_stores.instances;
    if instances.contains_key(id) {
        return Err((
            "DBInstanceAlreadyExists",
            "DB instance already exists".to_owned(),
        ));
    }
    let instance = Database {
        status: "creating",
        cluster: form.get("DBClusterIdentifier").map(str::to_owned),
        ..Database::restored(world.data_stores.cluster.engine)
    };
    let shown = shown_instance(id, &instance);
    instances.insert(id.to_owned(), instance);
    Ok(shown)
}

fn modify_instance(world: &mut World, form: &Form) -> Outcome {
    let id = form.get("DBInstanceIdentifier").unwrap_or_default();
    let Some(instance) = world.data_stores.instances.get_mut(id) else {
        return Err(("DBInstanceNotFound", format!("DBInstance {id} not found.")));
    };
    accept(instance, form);
    Ok(shown_instance(id, instance))
}

fn modify_cluster(world: &mut World, form: &Form) -> Outcome {
    known_cluster(form)?;
    let cluster = &mut world.data_stores.cluster;
    accept(cluster, form);
    Ok(shown_cluster(cluster))
}

fn known_cluster(form: &Form) -> Result<(), (&'static str, String)> {
    let id = form.get("DBClusterIdentifier").unwrap_or_default();
    if id == ids::DB_CLUSTER {
        return Ok(());
    }
    Err((
        "DBClusterNotFoundFault",
        format!("DBCluster {id} not found."),
    ))
}

/// Accepts the changes of a request, which take effect later.
fn accept(database: &mut Database, form: &Form) {
    let before = match &database.accepted {
        Some((_, settings)) => settings.clone(),
        None => database.settings.clone(),
    };
    let asked = |name| form.get(name) == Some("true");
    let retention = form.get("BackupRetentionPeriod");
    let logs = form.list("CloudwatchLogsExportConfiguration.EnableLogTypes.member");
    let settings = DbSettings {
        protected: before.protected || asked("DeletionProtection"),
        retention_days: retention
            .and_then(|days| days.parse().ok())
            .unwrap_or(before.retention_days),
        iam_authentication: before.iam_authentication || asked("EnableIAMDatabaseAuthentication"),
        logs: before
            .logs
            .into_iter()
            .chain(logs.into_iter().map(str::to_owned))
            .collect(),
        performance_insights: before.performance_insights || asked("EnablePerformanceInsights"),
    };
    database.accepted = Some((ANSWERS_UNTIL_APPLIED, settings));
}

/// The settings as an instance and a cluster show them.
fn shown_settings(settings: &DbSettings) -> String {
    format!(
        "<BackupRetentionPeriod>{}</BackupRetentionPeriod><DeletionProtection>{}</DeletionProtection><IAMDatabaseAuthenticationEnabled>{}</IAMDatabaseAuthenticationEnabled><PerformanceInsightsEnabled>{}</PerformanceInsightsEnabled><EnabledCloudwatchLogsExports>{}</EnabledCloudwatchLogsExports>",
        settings.retention_days,
        settings.protected,
        settings.iam_authentication,
        settings.performance_insights,
        members(&settings.logs),
    )
}

/// What of the accepted changes an instance shows before they take effect.
fn shown_pending(database: &Database) -> String {
    let Some((_, accepted)) = &database.accepted else {
        return "<PendingModifiedValues/>".to_owned();
    };
    let now = &database.settings;
    let mut pending = String::new();
    if accepted.retention_days != now.retention_days {
        pending += &format!(
            "<BackupRetentionPeriod>{}</BackupRetentionPeriod>",
            accepted.retention_days
        );
    }
    if accepted.iam_authentication != now.iam_authentication {
        pending += "<IAMDatabaseAuthenticationEnabled>true</IAMDatabaseAuthenticationEnabled>";
    }
    let logs: BTreeSet<String> = accepted.logs.difference(&now.logs).cloned().collect();
    if !logs.is_empty() {
        pending += &format!(
            "<PendingCloudwatchLogsExports><LogTypesToEnable>{}</LogTypesToEnable></PendingCloudwatchLogsExports>",
            members(&logs)
        );
    }
    format!("<PendingModifiedValues>{pending}</PendingModifiedValues>")
}

fn members(values: &BTreeSet<String>) -> String {
    values
        .iter()
        .map(|value| format!("<member>{}</member>", xml(value)))
        .collect()
}

fn shown_instance(id: &str, instance: &Database) -> String {
    // An instance has an endpoint from when it is created on.
    let endpoint = match instance.status {
        "creating" => String::new(),
        _ => format!(
            "<Endpoint><Address>{id}.c9akciq32rgw.us-west-2.rds.amazonaws.com</Address><Port>5432</Port><HostedZoneId>Z1PVIF0EXAMPLE</HostedZoneId></Endpoint>"
        ),
    };
    let cluster = instance.cluster.as_ref().map_or(String::new(), |cluster| {
        format!("<DBClusterIdentifier>{cluster}</DBClusterIdentifier>")
    });
    format!(
        "<DBInstance><DBInstanceIdentifier>{id}</DBInstanceIdentifier><DBInstanceClass>db.r6g.large</DBInstanceClass><Engine>{}</Engine><EngineVersion>17.4</EngineVersion><DBInstanceStatus>{}</DBInstanceStatus><MasterUsername>master</MasterUsername>{endpoint}<AllocatedStorage>100</AllocatedStorage><InstanceCreateTime>2026-10-20T15:03:02.114Z</InstanceCreateTime><PreferredBackupWindow>09:12-09:42</PreferredBackupWindow>{}<DBSecurityGroups/><VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-0a1b2c3d4e5f67890</VpcSecurityGroupId><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups><DBParameterGroups><DBParameterGroup><DBParameterGroupName>orders-recovery</DBParameterGroupName><ParameterApplyStatus>in-sync</ParameterApplyStatus></DBParameterGroup></DBParameterGroups><AvailabilityZone>us-west-2a</AvailabilityZone><DBSubnetGroup><DBSubnetGroupName>orders-recovery</DBSubnetGroupName><VpcId>vpc-0f1e2d3c4b5a69788</VpcId><SubnetGroupStatus>Complete</SubnetGroupStatus></DBSubnetGroup><PreferredMaintenanceWindow>sun:11:04-sun:11:34</PreferredMaintenanceWindow>{}{cluster}<MultiAZ>false</MultiAZ><PubliclyAccessible>false</PubliclyAccessible><StorageType>gp3</StorageType><StorageEncrypted>true</StorageEncrypted><DBInstanceArn>arn:aws:rds:us-west-2:111122223333:db:{id}</DBInstanceArn><TagList/></DBInstance>",
        instance.engine,
        instance.status,
        shown_settings(&instance.settings),
        shown_pending(instance),
    )
}

fn shown_cluster(cluster: &Database) -> String {
    let id = ids::DB_CLUSTER;
    format!(
        "<DBCluster><AllocatedStorage>1</AllocatedStorage><DBClusterIdentifier>{id}</DBClusterIdentifier>{}<DBClusterParameterGroup>default.aurora-postgresql17</DBClusterParameterGroup><DBSubnetGroup>orders-recovery</DBSubnetGroup><Status>{}</Status><EarliestRestorableTime>2026-10-20T15:04:12.214Z</EarliestRestorableTime><Endpoint>{id}.cluster-c9akciq32rgw.us-west-2.rds.amazonaws.com</Endpoint><ReaderEndpoint>{id}.cluster-ro-c9akciq32rgw.us-west-2.rds.amazonaws.com</ReaderEndpoint><MultiAZ>false</MultiAZ><Engine>{}</Engine><EngineVersion>17.4</EngineVersion><Port>5432</Port><MasterUsername>master</MasterUsername>{}<VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-0a1b2c3d4e5f67890</VpcSecurityGroupId><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups><StorageEncrypted>true</StorageEncrypted><DBClusterArn>arn:aws:rds:us-west-2:111122223333:cluster:{id}</DBClusterArn><TagList/></DBCluster>",
        shown_settings(&cluster.settings),
        cluster.status,
        cluster.engine,
        shown_pending(cluster),
    )
}
