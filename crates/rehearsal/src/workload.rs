//! The workload of the rehearsal: the example of `infra/`, with the requested number of volumes, a database, three
//! clusters, a table, two file systems, a bucket, and an instance that is restored from its image.

use std::path::Path;

use serde_json::{Value, json};

use crate::problem::Problem;

/// The recovery Region of the rehearsal.
pub(crate) const REGION: &str = "us-west-2";
/// The primary Region, which fails in the rehearsal.
pub(crate) const PRIMARY_REGION: &str = "us-east-1";
/// The account of the rehearsal, from the documentation of AWS.
pub(crate) const ACCOUNT: &str = "111122223333";
/// The name of the workload and of its stack in the recovery Region.
pub(crate) const WORKLOAD: &str = "shop";
/// A workload that is only planned: its volumes claim the same device.
pub(crate) const RIVALS: &str = "rivals";
/// The stack of the drill.
pub(crate) const DRILL_STACK: &str = "shop-drill";
/// The image of all servers.
pub(crate) const IMAGE: &str = "ami-0123456789abcdef0";
/// Where the server's volume is mounted.
pub(crate) const MOUNT: &str = "/srv/orders";
/// Additional volumes for each additional instance, which has eleven device names.
const FOR_ONE_HOST: usize = 10;

/// A protected volume of the rehearsal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protected {
    pub(crate) name: String,
    /// The workload that it belongs to.
    pub(crate) workload: Option<&'static str>,
    pub(crate) logical_id: String,
    pub(crate) device: Option<&'static str>,
    /// The path at which it is mounted.
    pub(crate) mount: Option<&'static str>,
    pub(crate) wave: usize,
}

/// The volumes of the workload, at least three: those of the server and of the group, and one without a device name.
/// Additional volumes have additional instances.
pub(crate) fn protected(volumes: usize) -> Vec<Protected> {
    let of = |name: &str, logical_id: &str, device, wave| Protected {
        name: name.to_owned(),
        workload: Some(WORKLOAD),
        logical_id: logical_id.to_owned(),
        device,
        mount: None,
        wave,
    };
    let mut all = vec![
        Protected {
            mount: Some(MOUNT),
            ..of("server's volume", "Server", Some("/dev/sdf"), 0)
        },
        of("group's volume", "Group", Some("/dev/sdf"), 1),
        of("second volume of the server", "Server", None, 1),
    ];
    for more in 3..volumes {
        let host = (more - 3) / FOR_ONE_HOST;
        let name = format!("volume {more}");
        all.push(of(&name, &format!("Host{host}"), None, 1 + more % 2));
    }
    all
}

/// A volume of the same stack that is restored manually.
pub(crate) fn by_hand(name: &str, device: Option<&'static str>) -> Protected {
    Protected {
        name: name.to_owned(),
        workload: None,
        logical_id: "Server".to_owned(),
        device,
        mount: None,
        wave: 0,
    }
}

/// Two volumes of another workload that claim the same device of one instance.
pub(crate) fn rivals() -> [Protected; 2] {
    ["first rival", "second rival"].map(|name| Protected {
        workload: Some(RIVALS),
        ..by_hand(name, Some("/dev/sdm"))
    })
}

/// What AWS Backup restores besides volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// A DB instance of RDS for PostgreSQL.
    Database,
    /// A DB cluster of Aurora PostgreSQL, with serverless instances.
    Cluster,
    /// A DB cluster of DocumentDB.
    DocumentDb,
    /// A DB cluster of Neptune.
    Neptune,
    /// A DynamoDB table.
    Table,
}

impl StoreKind {
    /// For messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            StoreKind::Database => "database",
            StoreKind::Cluster => "cluster",
            StoreKind::DocumentDb => "DocumentDB cluster",
            StoreKind::Neptune => "Neptune cluster",
            StoreKind::Table => "table",
        }
    }
}

/// A protected database, cluster or table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) kind: StoreKind,
    /// Its name in the primary Region.
    pub(crate) source: &'static str,
    /// Its name after a recovery.
    pub(crate) name: &'static str,
    /// Where its addresses are published.
    pub(crate) path: &'static str,
    pub(crate) tags: &'static [(&'static str, &'static str)],
}

/// The database, the clusters and the table of the workload. All are in the first wave.
pub(crate) const STORES: [Store; 5] = [
    Store {
        kind: StoreKind::Database,
        source: "shop-orders",
        name: "shop-orders",
        path: "/recovery/shop/orders",
        tags: &[
            ("recovery:workload", WORKLOAD),
            ("recovery:stack", WORKLOAD),
            ("recovery:logical-id", "DatabaseSubnets"),
            ("recovery:security-groups", "DatabaseSecurityGroup"),
            ("recovery:parameter-group", "prefix:Postgres"),
            ("recovery:database", "protected retention=14"),
            ("recovery:publish", "/recovery/shop/orders"),
        ],
    },
    // Without recovery:logical-id: the only subnet group of the stack.
    Store {
        kind: StoreKind::Cluster,
        source: "catalog",
        name: "shop-catalog",
        path: "/recovery/shop/catalog",
        tags: &[
            ("recovery:workload", WORKLOAD),
            ("recovery:stack", WORKLOAD),
            ("recovery:security-groups", "prefix:Database"),
            ("recovery:identifier", "shop-catalog"),
            ("recovery:instances", "db.serverless 0.5-8 x2"),
            ("recovery:database", "protected logs=postgresql"),
            ("recovery:publish", "/recovery/shop/catalog"),
        ],
    },
    Store {
        kind: StoreKind::DocumentDb,
        source: "shop-sessions",
        name: "shop-sessions",
        path: "/recovery/shop/sessions",
        tags: &[
            ("recovery:workload", WORKLOAD),
            ("recovery:stack", WORKLOAD),
            ("recovery:logical-id", "DatabaseSubnets"),
            ("recovery:security-groups", "DatabaseSecurityGroup"),
            ("recovery:instances", "db.r6g.large"),
            ("recovery:database", "protected"),
            ("recovery:publish", "/recovery/shop/sessions"),
        ],
    },
    Store {
        kind: StoreKind::Neptune,
        source: "shop-graph",
        name: "shop-graph",
        path: "/recovery/shop/graph",
        tags: &[
            ("recovery:workload", WORKLOAD),
            ("recovery:stack", WORKLOAD),
            ("recovery:logical-id", "DatabaseSubnets"),
            ("recovery:security-groups", "DatabaseSecurityGroup"),
            ("recovery:instances", "db.r6g.large"),
            ("recovery:database", "protected"),
            ("recovery:publish", "/recovery/shop/graph"),
        ],
    },
    Store {
        kind: StoreKind::Table,
        source: "shop-carts",
        name: "shop-carts",
        path: "/recovery/shop/carts",
        tags: &[
            ("recovery:workload", WORKLOAD),
            (
                "recovery:table",
                "pitr ttl=expires stream=NEW_IMAGE protected nothing-else",
            ),
            ("recovery:publish", "/recovery/shop/carts"),
        ],
    },
];

/// A protected bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Its name in the primary Region.
    pub(crate) source: &'static str,
    /// The logical id of the bucket that its objects are restored into.
    pub(crate) logical_id: &'static str,
    /// Where its name is published.
    pub(crate) path: &'static str,
    pub(crate) tags: &'static [(&'static str, &'static str)],
}

/// The bucket of the workload.
pub(crate) const ASSETS: Bucket = Bucket {
    source: "shop-assets-of-the-primary-region",
    logical_id: "Assets",
    path: "/recovery/shop/assets",
    tags: &[
        ("recovery:workload", WORKLOAD),
        ("recovery:stack", WORKLOAD),
        ("recovery:logical-id", "Assets"),
        ("recovery:publish", "/recovery/shop/assets"),
    ],
};

/// A bucket that is restored manually: first without one of its objects, then again.
pub(crate) const ARCHIVE: Bucket = Bucket {
    source: "shop-archive-of-the-primary-region",
    logical_id: "Archive",
    path: "/recovery/shop/archive",
    tags: &[
        ("recovery:stack", WORKLOAD),
        ("recovery:logical-id", "Archive"),
        ("recovery:publish", "/recovery/shop/archive"),
    ],
};

/// The objects of each bucket, with their newest contents.
pub(crate) const OBJECTS: [(&str, &str); 3] = [
    ("2026/first.json", "first"),
    ("2026/second.json", "second"),
    ("logo.svg", "logo"),
];

/// An instance that is backed up as an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Server {
    /// For messages.
    pub(crate) name: &'static str,
    /// The logical id of the target group that it is registered with.
    pub(crate) target_group: &'static str,
    /// Where its addresses are published.
    pub(crate) path: &'static str,
    pub(crate) tags: &'static [(&'static str, &'static str)],
}

/// The instance of the workload that no stack can create.
pub(crate) const APPLIANCE: Server = Server {
    name: "appliance",
    target_group: "ApplianceTargets",
    path: "/recovery/shop/appliance",
    tags: &[
        ("recovery:workload", WORKLOAD),
        ("recovery:stack", WORKLOAD),
        ("recovery:logical-id", "ServerSubnet"),
        ("recovery:security-groups", "ClientSecurityGroup"),
        ("recovery:target-groups", "ApplianceTargets"),
        ("recovery:publish", "/recovery/shop/appliance"),
    ],
};

/// A type of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystemKind {
    Efs,
    /// FSx for Lustre.
    Lustre,
}

/// A protected file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) kind: FileSystemKind,
    /// For messages.
    pub(crate) name: &'static str,
    /// The logical id of the instance or group that mounts it.
    pub(crate) server: &'static str,
    /// Where that mounts it.
    pub(crate) mount: &'static str,
    /// Where its addresses are published.
    pub(crate) path: &'static str,
    pub(crate) tags: &'static [(&'static str, &'static str)],
}

/// The file systems of the workload. Both are in the first wave.
pub(crate) const FILE_SYSTEMS: [FileSystem; 2] = [
    // Without recovery:subnets: all subnets of the stack, one per zone.
    FileSystem {
        kind: FileSystemKind::Efs,
        name: "EFS file system",
        server: "Web",
        mount: "/srv/shared",
        path: "/recovery/shop/shared",
        tags: &[
            ("recovery:workload", WORKLOAD),
            ("recovery:stack", WORKLOAD),
            ("recovery:logical-id", "Web"),
            ("recovery:security-groups", "FileSecurityGroup"),
            ("recovery:mount", "/srv/shared"),
            ("recovery:publish", "/recovery/shop/shared"),
        ],
    },
    FileSystem {
        kind: FileSystemKind::Lustre,
        name: "Lustre file system",
        server: "Batch",
        mount: "/srv/results",
        path: "/recovery/shop/results",
        tags: &[
            ("recovery:workload", WORKLOAD),
            ("recovery:stack", WORKLOAD),
            ("recovery:logical-id", "Batch"),
            ("recovery:security-groups", "FileSecurityGroup"),
            ("recovery:subnets", "ServerSubnet"),
            ("recovery:mount", "/srv/results"),
            ("recovery:publish", "/recovery/shop/results"),
        ],
    },
];

/// A table that is restored manually, while no rule matches the end of its restore.
pub(crate) const UNNOTICED: Store = Store {
    kind: StoreKind::Table,
    source: "shop-audit",
    name: "shop-audit",
    path: "/recovery/shop/audit",
    tags: &[
        ("recovery:table", "ttl=expires nothing-else"),
        ("recovery:publish", "/recovery/shop/audit"),
    ],
};

/// The network of the databases, which the stack of the workload creates before its servers are complete.
const NETWORK_OF_DATABASES: &str = r#"
  DatabaseSubnets:
    Type: AWS::RDS::DBSubnetGroup
    Properties:
      DBSubnetGroupDescription: The databases of the workload.
      SubnetIds: [!Ref ServerSubnet, !Ref GroupSubnet]

  DatabaseSecurityGroup:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: The databases of the workload, for its servers.
      VpcId: !Ref Network
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: 5432, ToPort: 5432, CidrIp: !Ref VpcCidr, Description: The servers}

  PostgresParameters:
    Type: AWS::RDS::DBParameterGroup
    Properties:
      Description: The orders.
      Family: postgres16
      Parameters: {log_statement: ddl}
"#;

/// The servers that mount file systems: a group of two instances, and an instance. The servers of the example may not
/// reach file systems.
const CLIENTS_OF_FILE_SYSTEMS: &str = r#"
  FileSecurityGroup:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: The file systems of the workload, for its servers.
      VpcId: !Ref Network
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: 2049, ToPort: 2049, CidrIp: !Ref VpcCidr, Description: NFS}
        - {IpProtocol: tcp, FromPort: 988, ToPort: 988, CidrIp: !Ref VpcCidr, Description: Lustre}
        - {IpProtocol: tcp, FromPort: 1018, ToPort: 1023, CidrIp: !Ref VpcCidr, Description: Lustre}

  ClientSecurityGroup:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: Servers that mount file systems.
      VpcId: !Ref Network
      SecurityGroupEgress:
        - {IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: !Ref VpcCidr, Description: Endpoints of AWS}
        - {IpProtocol: tcp, FromPort: 2049, ToPort: 2049, CidrIp: !Ref VpcCidr, Description: NFS}
        - {IpProtocol: tcp, FromPort: 988, ToPort: 988, CidrIp: !Ref VpcCidr, Description: Lustre}
        - {IpProtocol: tcp, FromPort: 1018, ToPort: 1023, CidrIp: !Ref VpcCidr, Description: Lustre}

  WebTemplate:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateData:
        ImageId: !Ref ImageId
        InstanceType: !Ref InstanceType
        IamInstanceProfile: {Name: !Ref InstanceProfile}
        SecurityGroupIds: [!Ref ClientSecurityGroup]
        MetadataOptions: {HttpTokens: required, HttpEndpoint: enabled}

  Web:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties:
      MinSize: "2"
      MaxSize: "2"
      DesiredCapacity: "2"
      VPCZoneIdentifier: [!Ref ServerSubnet, !Ref GroupSubnet]
      LaunchTemplate:
        LaunchTemplateId: !Ref WebTemplate
        Version: !GetAtt WebTemplate.LatestVersionNumber
      Tags:
        - {Key: recovery:workload, Value: !Ref Workload, PropagateAtLaunch: true}

  Batch:
    Type: AWS::EC2::Instance
    Properties:
      ImageId: !Ref ImageId
      InstanceType: !Ref InstanceType
      IamInstanceProfile: !Ref InstanceProfile
      SubnetId: !Ref ServerSubnet
      SecurityGroupIds: [!Ref ClientSecurityGroup]
      MetadataOptions: {HttpTokens: required, HttpEndpoint: enabled}
      Tags:
        - {Key: recovery:workload, Value: !Ref Workload}
"#;

/// The buckets, and the load balancer of the instance that is restored from its image.
const BUCKETS_AND_BALANCER: &str = r#"
  Assets:
    Type: AWS::S3::Bucket
    Properties:
      VersioningConfiguration: {Status: Enabled}

  Archive:
    Type: AWS::S3::Bucket
    Properties:
      VersioningConfiguration: {Status: Enabled}

  ApplianceTargets:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      Protocol: HTTP
      Port: 8080
      TargetType: instance
      VpcId: !Ref Network

  ApplianceBalancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties:
      Scheme: internal
      SecurityGroups: [!Ref ClientSecurityGroup]
      Subnets: [!Ref ServerSubnet, !Ref GroupSubnet]

  ApplianceListener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref ApplianceBalancer
      Protocol: HTTP
      Port: 80
      DefaultActions:
        - {Type: forward, TargetGroupArn: !Ref ApplianceTargets}
"#;

/// The template of the workload: that of the example, with the network of the databases, the servers that mount file
/// systems, the buckets, a load balancer, and one more instance for every ten volumes beyond three.
pub(crate) fn template(root: &Path, volumes: usize) -> Result<String, Problem> {
    let path = root.join("infra/example-workload.yaml");
    let example = std::fs::read_to_string(&path)
        .map_err(|error| Problem::new(format!("{} could not be read", path.display()), error))?;
    let (resources, outputs) = example
        .split_once("\nOutputs:\n")
        .ok_or_else(|| Problem::said(format!("{} has no outputs", path.display())))?;
    let hosts: String = (0..volumes.saturating_sub(3).div_ceil(FOR_ONE_HOST))
        .map(|host| {
            format!(
                "\n  Host{host}:\n    Type: AWS::EC2::Instance\n    Properties:\n      ImageId: !Ref ImageId\n      InstanceType: !Ref InstanceType\n      SubnetId: !Ref ServerSubnet\n"
            )
        })
        .collect();
    Ok(format!(
        "{resources}{NETWORK_OF_DATABASES}{CLIENTS_OF_FILE_SYSTEMS}{BUCKETS_AND_BALANCER}{hosts}\nOutputs:\n{outputs}"
    ))
}

/// A template that CloudFormation cannot deploy: the Availability Zone of the volume does not exist.
pub(crate) fn broken_template(root: &Path, volumes: usize) -> Result<String, Problem> {
    let whole = template(root, volumes)?;
    let broken = "\n  Broken:\n    Type: AWS::EC2::Volume\n    Properties:\n      AvailabilityZone: nowhere-1a\n      Size: 1\n\nOutputs:\n";
    Ok(whole.replacen("\nOutputs:\n", broken, 1))
}

/// The parameters of the stack, as the recovery reads them.
pub(crate) fn parameters(instance_profile: &str) -> Value {
    let of = |key: &str, value: &str| json!({"ParameterKey": key, "ParameterValue": value});
    json!([
        of("DeployedAs", "recovery"),
        of("Workload", WORKLOAD),
        of("InstanceProfile", instance_profile),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_volume_has_an_instance_with_at_most_11_volumes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for volumes in [3, 4, 13, 14, 200] {
            let all = protected(volumes);
            assert_eq!(all.len(), volumes);
            let template = template(&root, volumes).unwrap();
            for volume in &all {
                let named = format!("\n  {}:\n", volume.logical_id);
                assert_eq!(template.matches(&named).count(), 1, "{named}");
                let same = all
                    .iter()
                    .filter(|other| other.logical_id == volume.logical_id);
                assert!(same.count() <= 11);
            }
        }
        assert!(broken_template(&root, 3).unwrap().contains("nowhere-1a"));
    }
}
