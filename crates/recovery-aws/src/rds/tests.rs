//! The requests to RDS, and its answers.

use std::collections::BTreeSet;

use recovery_core::aws::database::DbStatus;

use super::*;
use crate::wire::{Answer, Wire, called_in, listed};

fn point() -> RecoveryPointArn {
    let arn = "arn:aws:rds:us-west-2:111122223333:cluster-snapshot:awsbackup:copyjob-1";
    RecoveryPointArn::parse(arn).unwrap()
}

fn cluster_id() -> DbClusterId {
    DbClusterId::new("shop")
}

fn new(engine: &str, tags: &[(&'static str, &str)]) -> NewDbInstance {
    NewDbInstance {
        id: DbInstanceId::new("shop-1"),
        cluster: cluster_id(),
        engine: engine.to_owned(),
        class: "db.r6g.large".to_owned(),
        promotion_tier: 1,
        tags: tags
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect(),
    }
}

const INSTANCE: &str = "<DBInstanceIdentifier>shop-1</DBInstanceIdentifier>\
    <DBInstanceArn>arn:aws:rds:us-west-2:111122223333:db:shop-1</DBInstanceArn>\
    <DBInstanceStatus>available</DBInstanceStatus><Engine>aurora-postgresql</Engine>\
    <EngineVersion>17.4</EngineVersion><DBClusterIdentifier>shop</DBClusterIdentifier>\
    <Endpoint><Address>shop-1.abc.rds.example</Address><Port>5432</Port></Endpoint>\
    <BackupRetentionPeriod>1</BackupRetentionPeriod><DeletionProtection>false</DeletionProtection>\
    <IAMDatabaseAuthenticationEnabled>true</IAMDatabaseAuthenticationEnabled>\
    <PerformanceInsightsEnabled>true</PerformanceInsightsEnabled>\
    <EnabledCloudwatchLogsExports><member>postgresql</member></EnabledCloudwatchLogsExports>";

fn instances(inner: &str) -> Answer {
    Answer::query(
        "DescribeDBInstances",
        &format!("<DBInstances>{inner}</DBInstances>"),
    )
}

fn described(inner: &str) -> Answer {
    instances(&format!("<DBInstance>{inner}</DBInstance>"))
}

const CLUSTER: &str = "<DBClusterIdentifier>shop</DBClusterIdentifier>\
    <DBClusterArn>arn:aws:rds:us-west-2:111122223333:cluster:shop</DBClusterArn>\
    <Status>available</Status><Engine>docdb</Engine><EngineVersion>5.0.0</EngineVersion>\
    <Endpoint>shop.cluster-abc.docdb.example</Endpoint><Port>27017</Port>\
    <ReaderEndpoint>shop.cluster-ro-abc.docdb.example</ReaderEndpoint>\
    <BackupRetentionPeriod>1</BackupRetentionPeriod><DeletionProtection>true</DeletionProtection>";

fn described_cluster(inner: &str) -> Answer {
    Answer::query(
        "DescribeDBClusters",
        &format!("<DBClusters><DBCluster>{inner}</DBCluster></DBClusters>"),
    )
}

#[tokio::test]
async fn reads_the_tags_of_a_snapshot_by_its_arn() {
    let wire = Wire::answering([Answer::query(
        "ListTagsForResource",
        "<TagList><Tag><Key>recovery:workload</Key><Value>shop</Value></Tag><Tag><Key>empty</Key><Value/></Tag></TagList>",
    )]);
    let rds = Rds::new(&wire.config());
    let tags = rds.tags(&point()).await.unwrap();
    assert_eq!(tags["recovery:workload"], "shop");
    assert_eq!(tags["empty"], "");
    assert_eq!(wire.only().form()["ResourceName"], point().as_str());
    assert_eq!(wire.actions(), listed(Rds::TAG_ACTIONS));
}

#[tokio::test]
async fn reports_a_snapshot_that_does_not_exist() {
    let wire = Wire::answering([Answer::query_error(
        404,
        "DBClusterSnapshotNotFoundFault",
        "DBClusterSnapshot not found",
    )]);
    let error = Rds::new(&wire.config()).tags(&point()).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert_eq!(error.fault().code(), Some("DBClusterSnapshotNotFoundFault"));
}

#[tokio::test]
async fn describes_an_instance() {
    let pending = "<PendingModifiedValues><BackupRetentionPeriod>7</BackupRetentionPeriod>\
        <PendingCloudwatchLogsExports><LogTypesToEnable><member>upgrade</member></LogTypesToEnable>\
        </PendingCloudwatchLogsExports></PendingModifiedValues>\
        <TagList><Tag><Key>awsbackup-restore-test</Key><Value>x</Value></Tag></TagList>";
    let wire = Wire::answering([described(&format!("{INSTANCE}{pending}"))]);
    let found = DbInstances::describe(&Rds::new(&wire.config()), &DbInstanceId::new("shop-1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.status, DbStatus::Available);
    assert_eq!(found.cluster, Some(cluster_id()));
    assert_eq!(
        found.endpoint,
        Some(("shop-1.abc.rds.example".to_owned(), 5432))
    );
    // A change that is pending is not asked for again.
    assert_eq!(found.settings.retention_days, 7);
    assert_eq!(
        found.settings.log_exports,
        BTreeSet::from(["postgresql".to_owned(), "upgrade".to_owned()])
    );
    assert!(found.settings.iam_authentication && found.settings.performance_insights);
    assert!(!found.settings.deletion_protection);
    assert!(found.restore_test);
    assert_eq!(wire.only().form()["DBInstanceIdentifier"], "shop-1");
}

#[tokio::test]
async fn an_instance_that_is_created_has_no_endpoint() {
    let creating = INSTANCE
        .replace("available", "creating")
        .replace("<Address>shop-1.abc.rds.example</Address>", "");
    let wire = Wire::answering([described(&creating)]);
    let found = DbInstances::describe(&Rds::new(&wire.config()), &DbInstanceId::new("shop-1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.status, found.endpoint), (DbStatus::Creating, None));
}

#[tokio::test]
async fn lists_the_instances_of_a_cluster() {
    let wire = Wire::answering([described(INSTANCE)]);
    let rds = Rds::new(&wire.config());
    let found = rds.list_of_cluster(&cluster_id()).await.unwrap();
    assert_eq!(found.len(), 1);
    let form = wire.only().form();
    assert_eq!(form["Filters.Filter.1.Name"], "db-cluster-id");
    assert_eq!(form["Filters.Filter.1.Values.Value.1"], "shop");
    assert!(!form.contains_key("DBInstanceIdentifier"));
}

#[tokio::test]
async fn describes_a_cluster_with_its_capacity() {
    let scaling = "<ServerlessV2ScalingConfiguration><MinCapacity>0.5</MinCapacity><MaxCapacity>16.0</MaxCapacity></ServerlessV2ScalingConfiguration>";
    let wire = Wire::answering([
        described_cluster(&format!("{CLUSTER}{scaling}")),
        described_cluster(CLUSTER),
    ]);
    let rds = Rds::new(&wire.config());
    let found = DbClusters::describe(&rds, &cluster_id())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.scaling.unwrap().to_string(), "0.5-16");
    assert_eq!(
        found.endpoint,
        Some(("shop.cluster-abc.docdb.example".to_owned(), 27017))
    );
    assert_eq!(
        found.reader_endpoint.as_deref(),
        Some("shop.cluster-ro-abc.docdb.example")
    );
    assert!(found.settings.deletion_protection && !found.restore_test);
    let found = DbClusters::describe(&rds, &cluster_id())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.scaling, None);
}

#[tokio::test]
async fn returns_none_for_what_does_not_exist() {
    // The code of an instance has no "Fault", that of a cluster does.
    let wire = Wire::answering([
        Answer::query_error(404, "DBInstanceNotFound", "DBInstance shop-1 not found."),
        Answer::query_error(404, "DBClusterNotFoundFault", "DBCluster shop not found."),
        instances(""),
    ]);
    let rds = Rds::new(&wire.config());
    let id = DbInstanceId::new("shop-1");
    assert_eq!(DbInstances::describe(&rds, &id).await.unwrap(), None);
    assert_eq!(
        DbClusters::describe(&rds, &cluster_id()).await.unwrap(),
        None
    );
    assert_eq!(rds.list_of_cluster(&cluster_id()).await.unwrap(), []);
}

#[tokio::test]
async fn names_the_missing_field_of_an_answer() {
    for (missing, name) in [
        ("<DBInstanceStatus>available</DBInstanceStatus>", "status"),
        ("<Engine>aurora-postgresql</Engine>", "engine"),
        (
            "<DBInstanceArn>arn:aws:rds:us-west-2:111122223333:db:shop-1</DBInstanceArn>",
            "ARN",
        ),
    ] {
        let wire = Wire::answering([described(&INSTANCE.replace(missing, ""))]);
        let error = Rds::new(&wire.config())
            .list_of_cluster(&cluster_id())
            .await
            .unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert!(error.fault().message().ends_with(name), "{error}");
    }
}

#[tokio::test]
async fn creates_an_instance_with_what_is_its_own_only() {
    let created = || Answer::query("CreateDBInstance", "<DBInstance/>");
    let wire = Wire::answering([created(), created()]);
    let rds = Rds::new(&wire.config());
    let tagged = new("aurora-postgresql", &[("recovery:drill", "d-1")]);
    assert!(matches!(
        rds.create(&tagged).await.unwrap(),
        CreateAnswer::Created
    ));
    // Network, version, storage and password are the cluster's.
    let expected = [
        ("DBClusterIdentifier", "shop"),
        ("DBInstanceClass", "db.r6g.large"),
        ("DBInstanceIdentifier", "shop-1"),
        ("Engine", "aurora-postgresql"),
        ("PromotionTier", "1"),
        ("PubliclyAccessible", "false"),
        ("Tags.Tag.1.Key", "recovery:drill"),
        ("Tags.Tag.1.Value", "d-1"),
    ];
    let sent = wire.only().form();
    let sent: Vec<(&str, &str)> = sent.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(sent, expected);
    rds.create(&new("docdb", &[])).await.unwrap();
    let sent = wire.sent()[1].form();
    let names: Vec<&str> = sent.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "DBClusterIdentifier",
            "DBInstanceClass",
            "DBInstanceIdentifier",
            "Engine",
            "PromotionTier"
        ]
    );
}

#[tokio::test]
async fn classifies_why_an_instance_is_not_created() {
    use CreateTrouble::{Capacity, Key, Network, Quota, Request};
    let create = async |status, code| {
        let wire = Wire::answering([Answer::query_error(status, code, "In the service's words")]);
        let rds = Rds::new(&wire.config_without_retries());
        rds.create(&new("neptune", &[])).await
    };
    for (code, expected) in [
        ("InstanceQuotaExceeded", Quota),
        ("StorageQuotaExceeded", Quota),
        ("InsufficientDBInstanceCapacity", Capacity),
        ("DBSubnetGroupDoesNotCoverEnoughAZs", Network),
        ("DBSubnetGroupNotFoundFault", Network),
        ("InvalidSubnet", Network),
        ("InvalidVPCNetworkStateFault", Network),
        ("KMSKeyNotAccessibleFault", Key),
        ("InvalidParameterCombination", Request),
        ("InvalidParameterValue", Request),
    ] {
        match create(400, code).await.unwrap() {
            CreateAnswer::Refused(trouble, fault) => {
                assert_eq!(trouble, expected, "{code}");
                assert_eq!(fault.message(), "In the service's words");
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    let exists = create(400, "DBInstanceAlreadyExists").await.unwrap();
    assert!(matches!(exists, CreateAnswer::Exists));
    // With the suffix, it is not a code of RDS.
    for code in [
        "DBInstanceAlreadyExistsFault",
        "AccessDenied",
        "NeverHeardOf",
    ] {
        let error = create(400, code).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent", "{code}");
    }
    for code in ["InvalidDBClusterStateFault", "Throttling"] {
        let error = create(400, code).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable", "{code}");
    }
}

#[tokio::test]
async fn each_change_is_one_setting_applied_immediately() {
    let changes = [
        (DbChange::Protect, vec![("DeletionProtection", "true")]),
        (DbChange::Retention(7), vec![("BackupRetentionPeriod", "7")]),
        (
            DbChange::IamAuthentication,
            vec![("EnableIAMDatabaseAuthentication", "true")],
        ),
        (
            DbChange::ExportLogs(["audit", "error"].map(str::to_owned).into()),
            vec![
                (
                    "CloudwatchLogsExportConfiguration.EnableLogTypes.member.1",
                    "audit",
                ),
                (
                    "CloudwatchLogsExportConfiguration.EnableLogTypes.member.2",
                    "error",
                ),
            ],
        ),
        (
            DbChange::PerformanceInsights,
            vec![("EnablePerformanceInsights", "true")],
        ),
    ];
    for (change, expected) in changes {
        let wire = Wire::answering([
            Answer::query("ModifyDBInstance", "<DBInstance/>"),
            Answer::query("ModifyDBCluster", "<DBCluster/>"),
        ]);
        let rds = Rds::new(&wire.config());
        DbInstances::modify(&rds, &DbInstanceId::new("shop"), &change)
            .await
            .unwrap();
        DbClusters::modify(&rds, &cluster_id(), &change)
            .await
            .unwrap();
        for (sent, id) in wire
            .sent()
            .iter()
            .zip(["DBInstanceIdentifier", "DBClusterIdentifier"])
        {
            let form = sent.form();
            let mut expected = expected.clone();
            expected.extend([("ApplyImmediately", "true"), (id, "shop")]);
            expected.sort_unstable();
            let form: Vec<(&str, &str)> =
                form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(form, expected);
        }
    }
}

#[tokio::test]
async fn sets_serverless_capacity_in_units() {
    let wire = Wire::answering([Answer::query("ModifyDBCluster", "<DBCluster/>")]);
    let scaling = Scaling {
        least: Capacity { halves: 1 },
        most: Capacity { halves: 32 },
    };
    Rds::new(&wire.config())
        .scale(&cluster_id(), scaling)
        .await
        .unwrap();
    let form = wire.only().form();
    let sent = |name: &str| {
        let value = &form[&format!("ServerlessV2ScalingConfiguration.{name}")];
        value.parse::<f64>().unwrap()
    };
    assert!((sent("MinCapacity") - 0.5).abs() < f64::EPSILON);
    assert!((sent("MaxCapacity") - 16.0).abs() < f64::EPSILON);
    assert_eq!(form["ApplyImmediately"], "true");
}

#[tokio::test]
async fn a_busy_database_is_changed_later() {
    for (code, action) in [
        ("InvalidDBInstanceState", "ModifyDBInstance"),
        ("InvalidDBClusterStateFault", "ModifyDBCluster"),
    ] {
        let wire = Wire::answering([Answer::query_error(400, code, "not in available state")]);
        let rds = Rds::new(&wire.config_without_retries());
        let error = match action {
            "ModifyDBInstance" => {
                DbInstances::modify(&rds, &DbInstanceId::new("shop"), &DbChange::Protect).await
            }
            _ => DbClusters::modify(&rds, &cluster_id(), &DbChange::Protect).await,
        }
        .unwrap_err();
        assert_eq!(error.error_type(), "Retryable");
        assert_eq!(error.fault().code(), Some(code));
        assert_eq!(wire.only().action(), format!("rds:{action}"));
    }
}

#[test]
fn every_call_has_its_action() {
    let actions: Vec<&str> = [Rds::TAG_ACTIONS, Rds::INTEGRATION_ACTIONS].concat();
    let called: BTreeSet<String> = called_in("rds", include_str!("../rds.rs"))
        .into_iter()
        .map(|action| action.replace("Db", "DB"))
        .collect();
    assert_eq!(called, listed(&actions));
}
