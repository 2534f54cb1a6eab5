//! The requests to EC2, and the handling of its responses.

use std::collections::BTreeMap;

use chrono::DateTime;

use crate::wire::{Answer, Wire, called_in, listed};

use super::*;

const VOLUME: &str = "vol-0a1b2c3d4e5f60718";
const INSTANCE: &str = "i-0a1b2c3d4e5f60718";
const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn form(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn volumes(inner: &str) -> Answer {
    Answer::ec2(
        "DescribeVolumes",
        &format!("<volumeSet>{inner}</volumeSet>"),
    )
}

fn instances(inner: &str) -> Answer {
    Answer::ec2(
        "DescribeInstances",
        &format!(
            "<reservationSet><item><reservationId>r-1</reservationId><instancesSet>{inner}</instancesSet></item></reservationSet>"
        ),
    )
}

/// The members of an instance that are read.
fn instance_xml(id: &str) -> String {
    format!(
        "<item><instanceId>{id}</instanceId><instanceState><code>16</code><name>running</name></instanceState>\
         <placement><availabilityZone>us-west-2a</availabilityZone></placement>\
         <blockDeviceMapping>\
         <item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-root</volumeId><status>attached</status></ebs></item>\
         <item><deviceName>/dev/sdf</deviceName><ebs><volumeId>vol-data</volumeId><status>attaching</status></ebs></item>\
         </blockDeviceMapping></item>"
    )
}

fn attached(status: &str) -> Answer {
    Answer::ec2(
        "AttachVolume",
        &format!(
            "<volumeId>{VOLUME}</volumeId><instanceId>{INSTANCE}</instanceId><device>/dev/sdf</device><status>{status}</status>"
        ),
    )
}

async fn describe_volume(wire: &Wire) -> Result<Volume, Error> {
    Volumes::describe(&Ec2::new(&wire.config()), &VolumeId::new(VOLUME)).await
}

async fn describe_instance(wire: &Wire) -> Result<Instance, Error> {
    Instances::describe(&Ec2::new(&wire.config()), &InstanceId::new(INSTANCE)).await
}

async fn attach(wire: &Wire) -> Result<AttachAnswer, Error> {
    Ec2::new(&wire.config())
        .attach(
            &VolumeId::new(VOLUME),
            &InstanceId::new(INSTANCE),
            &DeviceName::parse("/dev/sdf").unwrap(),
        )
        .await
}

#[tokio::test]
async fn describes_a_volume_by_id_with_every_field() {
    let wire = Wire::answering([volumes(&format!(
        "<item><volumeId>{VOLUME}</volumeId><size>8</size><snapshotId>snap-1</snapshotId><availabilityZone>us-west-2a</availabilityZone><status>in-use</status>\
         <encrypted>true</encrypted><kmsKeyId>{KEY}</kmsKeyId>\
         <attachmentSet>\
         <item><volumeId>{VOLUME}</volumeId><instanceId>i-old</instanceId><device>/dev/sdg</device><status>detached</status></item>\
         <item><volumeId>{VOLUME}</volumeId><instanceId>{INSTANCE}</instanceId><device>/dev/sdf</device><status>attaching</status>\
         <attachTime>2026-11-23T05:50:07.000Z</attachTime></item>\
         </attachmentSet>\
         <tagSet><item><key>Name</key><value>data</value></item></tagSet></item>"
    ))]);
    let volume = describe_volume(&wire).await.unwrap();
    assert_eq!(
        volume,
        Volume {
            id: VolumeId::new(VOLUME),
            state: "in-use".into(),
            zone: "us-west-2a".to_owned(),
            // Detached attachments are dropped.
            attachments: vec![Attachment {
                instance: InstanceId::new(INSTANCE),
                device: "/dev/sdf".to_owned(),
                state: "attaching".into(),
                since: DateTime::from_timestamp(1_795_413_007, 0),
            }],
            key: Some(KEY.to_owned()),
            restore_test: false,
            owner: None,
            size: Some(8),
            encrypted: Some(true),
            snapshot: Some("snap-1".to_owned()),
        }
    );
    assert_eq!(wire.only().action(), "ec2:DescribeVolumes");
    assert_eq!(wire.only().form(), form(&[("VolumeId.1", VOLUME)]));
}

#[tokio::test]
async fn describes_many_volumes_by_filter_without_missing_ones() {
    let volume = |id: &str| {
        format!(
            "<item><volumeId>{id}</volumeId><availabilityZone>us-west-2a</availabilityZone><status>available</status></item>"
        )
    };
    let page = |inner: &str, token: &str| {
        Answer::ec2(
            "DescribeVolumes",
            &format!("<volumeSet>{inner}</volumeSet>{token}"),
        )
    };
    let wire = Wire::answering([
        page(&volume("vol-1"), "<nextToken>more</nextToken>"),
        page(&volume("vol-3"), ""),
    ]);
    let ids = ["vol-1", "vol-2", "vol-3"].map(VolumeId::new);
    let seen = Volumes::list(&Ec2::new(&wire.config()), &ids)
        .await
        .unwrap();
    let seen: Vec<&str> = seen.iter().map(|volume| volume.id.as_str()).collect();
    assert_eq!(seen, ["vol-1", "vol-3"]);
    let asked = form(&[
        ("Filter.1.Name", "volume-id"),
        ("Filter.1.Value.1", "vol-1"),
        ("Filter.1.Value.2", "vol-2"),
        ("Filter.1.Value.3", "vol-3"),
    ]);
    assert_eq!(wire.sent()[0].form(), asked);
    assert_eq!(wire.sent()[1].form()["NextToken"], "more");
}

#[tokio::test]
async fn keeps_size_encryption_and_snapshot_of_a_volume() {
    let of = |members: &str| {
        volumes(&format!(
            "<item><volumeId>{VOLUME}</volumeId><availabilityZone>us-west-2a</availabilityZone>{members}</item>"
        ))
    };
    let wire = Wire::answering([
        of("<size>8</size><snapshotId/><status>error</status><encrypted>false</encrypted>"),
        of("<status>available</status>"),
    ]);
    let empty = describe_volume(&wire).await.unwrap();
    assert_eq!(
        (empty.size, empty.encrypted, empty.snapshot),
        (Some(8), Some(false), None)
    );
    let sparse = describe_volume(&wire).await.unwrap();
    assert_eq!(
        (sparse.size, sparse.encrypted, sparse.snapshot),
        (None, None, None)
    );
}

fn snapshots(inner: &str) -> Answer {
    Answer::ec2(
        "DescribeSnapshots",
        &format!("<snapshotSet>{inner}</snapshotSet>"),
    )
}

#[tokio::test]
async fn describes_a_snapshot_with_size_and_encryption() {
    let wire = Wire::answering([
        snapshots(
            "<item><snapshotId>snap-1</snapshotId><volumeSize>100</volumeSize><encrypted>true</encrypted></item>",
        ),
        snapshots("<item><snapshotId>snap-1</snapshotId><encrypted>true</encrypted></item>"),
    ]);
    let ec2 = Ec2::new(&wire.config());
    assert_eq!(
        Snapshots::describe(&ec2, "snap-1").await.unwrap(),
        Some(Snapshot {
            id: "snap-1".to_owned(),
            size: 100,
            encrypted: true,
        })
    );
    assert_eq!(wire.sent()[0].form()["SnapshotId.1"], "snap-1");
    let error = Snapshots::describe(&ec2, "snap-1").await.unwrap_err();
    assert!(error.to_string().contains("volume size"), "{error}");
}

#[tokio::test]
async fn returns_none_for_a_missing_volume_or_snapshot() {
    let wire = Wire::answering([
        volumes(""),
        Answer::ec2_error(
            400,
            "InvalidSnapshot.NotFound",
            "The snapshot does not exist.",
        ),
        snapshots(""),
        Answer::ec2_error(403, "UnauthorizedOperation", "You are not authorized."),
    ]);
    let ec2 = Ec2::new(&wire.config());
    let gone = Volumes::list(&ec2, &[VolumeId::new(VOLUME)]).await.unwrap();
    assert_eq!(gone, []);
    assert_eq!(Snapshots::describe(&ec2, "snap-1").await.unwrap(), None);
    assert_eq!(Snapshots::describe(&ec2, "snap-1").await.unwrap(), None);
    let error = Snapshots::describe(&ec2, "snap-1").await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
}

#[tokio::test]
async fn describes_subnets_in_the_order_asked_for() {
    let subnets = |ids: &[&str]| {
        let items: String = ids
            .iter()
            .map(|id| {
                format!(
                    "<item><subnetId>{id}</subnetId><vpcId>vpc-1</vpcId><availabilityZone>us-west-2a</availabilityZone></item>"
                )
            })
            .collect();
        Answer::ec2(
            "DescribeSubnets",
            &format!("<subnetSet>{items}</subnetSet>"),
        )
    };
    let wire = Wire::answering([subnets(&["subnet-1", "subnet-2"]), subnets(&["subnet-1"])]);
    let ec2 = Ec2::new(&wire.config());
    assert_eq!(Subnets::list(&ec2, &[]).await.unwrap(), []);
    let ids = ["subnet-2", "subnet-1"].map(str::to_owned);
    let seen = Subnets::list(&ec2, &ids).await.unwrap();
    let seen: Vec<&str> = seen.iter().map(|subnet| subnet.id.as_str()).collect();
    assert_eq!(seen, ["subnet-2", "subnet-1"]);
    let error = Subnets::list(&ec2, &ids).await.unwrap_err();
    assert!(error.to_string().contains("subnet-2"), "{error}");
    let asked = form(&[("SubnetId.1", "subnet-2"), ("SubnetId.2", "subnet-1")]);
    assert_eq!(wire.sent()[0].form(), asked);
    assert_eq!(wire.sent().len(), 2);
}

#[tokio::test]
async fn recognizes_a_volume_of_a_restore_test_by_its_tag() {
    let wire = Wire::answering([volumes(&format!(
        "<item><volumeId>{VOLUME}</volumeId><availabilityZone>us-west-2a</availabilityZone><status>available</status>\
         <tagSet><item><key>awsbackup-restore-test</key><value/></item></tagSet></item>"
    ))]);
    let volume = describe_volume(&wire).await.unwrap();
    assert!(volume.restore_test);
    assert!(volume.attachments.is_empty());
}

#[tokio::test]
async fn reads_stack_and_logical_id_of_a_volume() {
    let tagged = |keys: &[&str]| {
        let tags: String = keys
            .iter()
            .map(|key| {
                format!("<item><key>aws:cloudformation:{key}</key><value>{key}</value></item>")
            })
            .collect();
        Wire::answering([volumes(&format!(
            "<item><volumeId>{VOLUME}</volumeId><availabilityZone>us-west-2a</availabilityZone>\
             <status>in-use</status><tagSet>{tags}</tagSet></item>"
        ))])
    };
    let owner = async |keys: &[&str]| describe_volume(&tagged(keys)).await.unwrap().owner;
    assert_eq!(
        owner(&["stack-name", "stack-id", "logical-id"])
            .await
            .as_deref(),
        Some("stack-name/logical-id")
    );
    assert_eq!(owner(&["stack-name"]).await, None);
}

#[tokio::test]
async fn keeps_unknown_volume_states() {
    let wire = Wire::answering([volumes(&format!(
        "<item><volumeId>{VOLUME}</volumeId><availabilityZone>us-west-2a</availabilityZone><status>hibernating</status></item>"
    ))]);
    let state = describe_volume(&wire).await.unwrap().state;
    assert_eq!(state.as_str(), "hibernating");
}

/// EC2 omits the instance if an AWS service uses the volume:
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VolumeAttachment.html>.
#[tokio::test]
async fn returns_the_associated_resource_of_a_volume_used_by_a_service() {
    let task = "arn:aws:ecs:us-west-2:111122223333:task/shop/0a1b2c3d4e5f";
    let wire = Wire::answering([volumes(&format!(
        "<item><volumeId>{VOLUME}</volumeId><availabilityZone>us-west-2a</availabilityZone><status>in-use</status>\
         <attachmentSet><item><volumeId>{VOLUME}</volumeId><associatedResource>{task}</associatedResource>\
         <instanceOwningService>fargate.amazonaws.com</instanceOwningService><status>attached</status></item></attachmentSet></item>"
    ))]);
    let volume = describe_volume(&wire).await.unwrap();
    assert_eq!(volume.attachments[0].instance, InstanceId::new(task));
}

#[tokio::test]
async fn names_the_missing_field_of_a_volume() {
    let zone = "<availabilityZone>us-west-2a</availabilityZone>";
    let status = "<status>available</status>";
    for (inner, missing) in [
        (status.to_owned(), "Availability Zone"),
        (zone.to_owned(), "state"),
        (
            format!(
                "{zone}{status}<attachmentSet><item><status>attached</status></item></attachmentSet>"
            ),
            "instance of an attachment",
        ),
        (
            format!(
                "{zone}{status}<attachmentSet><item><instanceId>i-1</instanceId></item></attachmentSet>"
            ),
            "state of an attachment",
        ),
    ] {
        let wire = Wire::answering([volumes(&format!(
            "<item><volumeId>{VOLUME}</volumeId>{inner}</item>"
        ))]);
        let error = describe_volume(&wire).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_eq!(
            error.to_string().split(". ").next(),
            Some(&*format!(
                "ec2:DescribeVolumes on {VOLUME} failed: the answer has no {missing}"
            ))
        );
    }
}

#[tokio::test]
async fn returns_a_retryable_error_for_a_missing_volume_or_instance() {
    for answer in [
        volumes(""),
        Answer::ec2("DescribeVolumes", ""),
        // Another volume is not returned.
        volumes(
            "<item><volumeId>vol-other</volumeId><availabilityZone>us-west-2a</availabilityZone><status>available</status></item>",
        ),
        Answer::ec2_error(400, "InvalidVolume.NotFound", "The volume does not exist."),
    ] {
        let error = describe_volume(&Wire::answering([answer]))
            .await
            .unwrap_err();
        assert_eq!(error.error_type(), "Retryable", "{error}");
    }
    for answer in [
        Answer::ec2("DescribeInstances", "<reservationSet/>"),
        instances(""),
        instances(&instance_xml("i-other")),
        Answer::ec2_error(
            400,
            "InvalidInstanceID.NotFound",
            "The instance does not exist.",
        ),
    ] {
        let error = describe_instance(&Wire::answering([answer]))
            .await
            .unwrap_err();
        assert_eq!(error.error_type(), "Retryable", "{error}");
    }
}

#[tokio::test]
async fn describes_an_instance_by_id_with_every_field() {
    let wire = Wire::answering([instances(&instance_xml(INSTANCE))]);
    let instance = describe_instance(&wire).await.unwrap();
    assert_eq!(
        instance,
        Instance {
            id: InstanceId::new(INSTANCE),
            state: "running".into(),
            zone: "us-west-2a".to_owned(),
            devices: vec![
                ("/dev/xvda".to_owned(), VolumeId::new("vol-root")),
                ("/dev/sdf".to_owned(), VolumeId::new("vol-data")),
            ],
        }
    );
    assert_eq!(wire.only().action(), "ec2:DescribeInstances");
    assert_eq!(wire.only().form(), form(&[("InstanceId.1", INSTANCE)]));
}

#[tokio::test]
async fn names_the_missing_field_of_an_instance() {
    let state = "<instanceState><code>16</code><name>running</name></instanceState>";
    let zone = "<placement><availabilityZone>us-west-2a</availabilityZone></placement>";
    for (inner, missing) in [(zone, "state"), (state, "Availability Zone")] {
        let wire = Wire::answering([instances(&format!(
            "<item><instanceId>{INSTANCE}</instanceId>{inner}</item>"
        ))]);
        let error = describe_instance(&wire).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert!(error.fault().message().ends_with(missing), "{error}");
    }
}

#[tokio::test]
async fn reads_group_instances_of_every_page() {
    let page = |id: &str, next: &str| {
        Answer::ec2(
            "DescribeInstances",
            &format!(
                "<reservationSet><item><instancesSet>{}</instancesSet></item></reservationSet>{next}",
                instance_xml(id)
            ),
        )
    };
    let wire = Wire::answering([
        page("i-1", "<nextToken>token-1</nextToken>"),
        // A page may be empty, and others still follow.
        Answer::ec2(
            "DescribeInstances",
            "<reservationSet/><nextToken>token-2</nextToken>",
        ),
        page("i-2", ""),
    ]);
    let found = Ec2::new(&wire.config())
        .list_of_group("shop-Group-1ABC")
        .await
        .unwrap();
    let ids: Vec<&str> = found.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(ids, ["i-1", "i-2"]);
    let filters = [
        ("Filter.1.Name", "tag:aws:autoscaling:groupName"),
        ("Filter.1.Value.1", "shop-Group-1ABC"),
        ("Filter.2.Name", "instance-state-name"),
        ("Filter.2.Value.1", "pending"),
        ("Filter.2.Value.2", "running"),
    ];
    let sent = wire.sent();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[0].form(), form(&filters));
    assert_eq!(sent[1].form()["NextToken"], "token-1");
    assert_eq!(sent[2].form()["NextToken"], "token-2");
    assert_eq!(sent[2].form()["Filter.1.Value.1"], "shop-Group-1ABC");
}

/// EC2 treats `*`, `?` and `\` in filters as wildcards:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>.
#[tokio::test]
async fn describes_stack_instances_by_cloudformation_tags() {
    let wire = Wire::answering([instances(&instance_xml(INSTANCE))]);
    let seen = Ec2::new(&wire.config())
        .list_of_stack("shop", "Database")
        .await
        .unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].id, InstanceId::new(INSTANCE));
    let asked = form(&[
        ("Filter.1.Name", "tag:aws:cloudformation:stack-name"),
        ("Filter.1.Value.1", "shop"),
        ("Filter.2.Name", "tag:aws:cloudformation:logical-id"),
        ("Filter.2.Value.1", "Database"),
    ]);
    assert_eq!(wire.only().form(), asked);
}

#[tokio::test]
async fn escapes_wildcards_in_group_names() {
    let wire = Wire::answering([Answer::ec2("DescribeInstances", "<reservationSet/>")]);
    let found = Ec2::new(&wire.config())
        .list_of_group(r"shop*?\")
        .await
        .unwrap();
    assert!(found.is_empty());
    assert_eq!(wire.only().form()["Filter.1.Value.1"], r"shop\*\?\\");
}

#[tokio::test]
async fn reads_tags_of_every_page_of_1000() {
    let page = |key: &str, next: &str| {
        Answer::ec2(
            "DescribeTags",
            &format!(
                "<tagSet><item><resourceId>snap-1</resourceId><resourceType>snapshot</resourceType><key>{key}</key><value>v {key}</value></item></tagSet>{next}"
            ),
        )
    };
    let wire = Wire::answering([
        page("a", "<nextToken>token-1</nextToken>"),
        page("b", "<nextToken>token-2</nextToken>"),
        Answer::ec2(
            "DescribeTags",
            "<tagSet><item><key>empty</key></item></tagSet>",
        ),
    ]);
    let tags = Ec2::new(&wire.config()).tags("snap-1").await.unwrap();
    assert_eq!(tags, form(&[("a", "v a"), ("b", "v b"), ("empty", "")]));
    let sent = wire.sent();
    let first = [
        ("Filter.1.Name", "resource-id"),
        ("Filter.1.Value.1", "snap-1"),
        ("MaxResults", "1000"),
    ];
    assert_eq!(sent[0].action(), "ec2:DescribeTags");
    assert_eq!(sent[0].form(), form(&first));
    assert_eq!(sent[1].form()["NextToken"], "token-1");
    assert_eq!(sent[2].form()["NextToken"], "token-2");
    assert_eq!(sent.len(), 3);
}

#[tokio::test]
async fn accepts_no_tags_but_rejects_a_tag_without_a_key() {
    let wire = Wire::answering([Answer::ec2("DescribeTags", "<tagSet/>")]);
    let tags = Ec2::new(&wire.config()).tags("snap-1").await.unwrap();
    assert!(tags.is_empty());
    let wire = Wire::answering([Answer::ec2(
        "DescribeTags",
        "<tagSet><item><value>v</value></item></tagSet>",
    )]);
    let error = Ec2::new(&wire.config()).tags("snap-1").await.unwrap_err();
    assert!(error.to_string().contains("no key of a tag"), "{error}");
}

#[tokio::test]
async fn fails_when_a_page_fails() {
    let wire = Wire::answering([
        Answer::ec2(
            "DescribeTags",
            "<tagSet><item><key>a</key><value>1</value></item></tagSet><nextToken>token-1</nextToken>",
        ),
        Answer::ec2_error(403, "UnauthorizedOperation", "You are not authorized."),
    ]);
    let error = Ec2::new(&wire.config()).tags("snap-1").await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
}

#[tokio::test]
async fn attaches_a_volume_with_the_requested_device() {
    for (status, now) in [("attaching", false), ("attached", true), ("busy", false)] {
        let wire = Wire::answering([attached(status)]);
        let answer = attach(&wire).await.unwrap();
        assert!(
            matches!(answer, AttachAnswer::Accepted { attached } if attached == now),
            "{answer:?}"
        );
        assert_eq!(wire.only().action(), "ec2:AttachVolume");
        assert_eq!(
            wire.only().form(),
            form(&[
                ("Device", "/dev/sdf"),
                ("InstanceId", INSTANCE),
                ("VolumeId", VOLUME)
            ])
        );
    }
}

/// `AttachVolume` has no client token, so it must not be repeated before the volume is read.
#[tokio::test]
async fn sends_attach_volume_only_once_whatever_fails() {
    let busy = Answer::ec2_error(503, "RequestLimitExceeded", "Request limit exceeded.");
    let wire = Wire::answering([busy, attached("attaching")]);
    let answer = attach(&wire).await;
    assert!(matches!(answer, Ok(AttachAnswer::Busy(_))), "{answer:?}");
    assert_eq!(wire.only().action(), "ec2:AttachVolume");
    for failure in [
        Answer::ec2_error(500, "InternalError", "An internal error has occurred"),
        Answer::ec2_error(503, "Unavailable", "The service is unavailable."),
        Answer::Refused,
        Answer::Silence,
    ] {
        let wire = Wire::answering([failure, attached("attaching")]);
        let error = attach(&wire).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable", "{error}");
        assert_eq!(wire.only().action(), "ec2:AttachVolume");
    }
}

#[tokio::test]
async fn retries_other_calls_when_ec2_is_busy() {
    let wire = Wire::answering([
        Answer::ec2_error(503, "RequestLimitExceeded", "Request limit exceeded."),
        Answer::Refused,
        Answer::Silence,
        instances(&instance_xml(INSTANCE)),
    ]);
    assert!(describe_instance(&wire).await.is_ok());
    assert_eq!(wire.sent().len(), 4);
}

#[tokio::test]
async fn classifies_attach_volume_errors_by_code() {
    fn kind(answer: &AttachAnswer) -> (&'static str, Option<&Fault>) {
        match answer {
            AttachAnswer::Accepted { .. } => ("accepted", None),
            AttachAnswer::Busy(fault) => ("busy", Some(fault)),
            AttachAnswer::Contested(fault) => ("contested", Some(fault)),
            AttachAnswer::DeviceInUse(fault) => ("device in use", Some(fault)),
            AttachAnswer::ZoneMismatch(fault) => ("zone mismatch", Some(fault)),
            AttachAnswer::LimitExceeded(fault) => ("limit exceeded", Some(fault)),
            AttachAnswer::Modifying(fault) => ("modifying", Some(fault)),
            AttachAnswer::DeviceRefused(fault) => ("device refused", Some(fault)),
            AttachAnswer::KeyUnusable(fault) => ("key", Some(fault)),
            AttachAnswer::ProductCode(fault) => ("product code", Some(fault)),
            AttachAnswer::Unsupported(fault) => ("unsupported", Some(fault)),
        }
    }
    let in_use =
        "Invalid value '/dev/sdf' for unixDevice. Attachment point /dev/sdf is already in use";
    for (code, message, expected) in [
        ("RequestLimitExceeded", "Request limit exceeded.", "busy"),
        ("EC2ThrottledException", "Request limit exceeded.", "busy"),
        (
            "VolumeInUse",
            "vol-1 is already attached to an instance",
            "contested",
        ),
        (
            "IncorrectState",
            "Volume vol-1 is not 'available'.",
            "contested",
        ),
        (
            "IncorrectInstanceState",
            "Instance is not 'running'.",
            "contested",
        ),
        (
            "InvalidVolume.ZoneMismatch",
            "not in the same zone",
            "zone mismatch",
        ),
        (
            "InvalidVolumeID.ZoneMismatch",
            "not in the same zone",
            "zone mismatch",
        ),
        (
            "AttachmentLimitExceeded",
            "too many volumes",
            "limit exceeded",
        ),
        (
            "CardAttachmentLimitExceeded",
            "too many volumes",
            "limit exceeded",
        ),
        ("InvalidParameterValue", in_use, "device in use"),
        (
            "InvalidParameterValue",
            "Value (/dev/sdZZ) for parameter device is invalid. /dev/sdZZ is not a valid EBS device name.",
            "device refused",
        ),
        (
            "InvalidParameterValue",
            "Invalid value '/dev/sda1' for unixDevice.",
            "device refused",
        ),
        (
            "OperationNotPermitted",
            "Cannot attach volume vol-1 when it is in modification state: MODIFYING",
            "modifying",
        ),
        (
            "IncorrectInstanceState",
            "Cannot attach volume 'vol-1' with Marketplace codes as the instance 'i-1' is not in the 'stopped' state.",
            "product code",
        ),
        (
            "UnsupportedOperation",
            "The instance configuration for this AWS Marketplace product is not supported.",
            "product code",
        ),
        (
            "OptInRequired",
            "In order to use this AWS Marketplace product you need to accept terms and subscribe.",
            "product code",
        ),
        (
            "UnsupportedOperation",
            "Not for this instance type.",
            "unsupported",
        ),
        (
            "CustomerKeyHasBeenRevoked",
            "Volume vol-1 cannot be attached. The encrypted volume was unable to access the KMS key.",
            "key",
        ),
        (
            "InvalidKMSKey.InvalidState",
            "The KMS key provided is in an incorrect state",
            "key",
        ),
        ("InvalidKmsKey.Disabled", "The key is disabled.", "key"),
        ("KMSKeyNotAccessibleFault", "It is not accessible.", "key"),
        (
            "UnauthorizedOperation",
            "The role is not authorized to perform: kms:CreateGrant on this resource.",
            "key",
        ),
    ] {
        let wire = Wire::answering([Answer::ec2_error(400, code, message)]);
        let answer = attach(&wire).await.unwrap();
        let (kind, fault) = kind(&answer);
        let fault = fault.unwrap();
        assert_eq!(kind, expected, "{code}");
        assert_eq!(fault.code(), Some(code));
        assert_eq!(fault.message(), message);
        assert_eq!(
            fault.subject(),
            format!("{VOLUME} to {INSTANCE} as /dev/sdf")
        );
    }
    for (status, code, message, expected) in [
        (
            400,
            "InvalidParameterValue",
            "Value (x) for parameter instanceId is invalid.",
            "Permanent",
        ),
        (400, "KMSThrottlingException", "Too much.", "Retryable"),
        (400, "OptInRequired", "Not subscribed to EC2.", "Permanent"),
        (
            400,
            "InvalidVolume.NotFound",
            "The volume does not exist.",
            "Retryable",
        ),
        (
            400,
            "InvalidInstanceID.NotFound",
            "The instance does not exist.",
            "Retryable",
        ),
        (
            403,
            "UnauthorizedOperation",
            "You are not authorized.",
            "Permanent",
        ),
        (
            400,
            "OperationNotPermitted",
            "This is not possible.",
            "Permanent",
        ),
        // The message alone does not mean a device in use.
        (400, "SomethingNew", in_use, "Permanent"),
    ] {
        let wire = Wire::answering([Answer::ec2_error(status, code, message)]);
        let error = attach(&wire).await.unwrap_err();
        assert_eq!(error.error_type(), expected, "{code}");
        assert_eq!(error.fault().code(), Some(code));
    }
}

#[tokio::test]
async fn actions_match_the_requests() {
    let wire = Wire::answering([
        volumes(""),
        Answer::ec2("DescribeInstances", ""),
        Answer::ec2("DescribeInstances", ""),
        Answer::ec2("DescribeTags", ""),
        Answer::ec2("DescribeSubnets", ""),
        snapshots(""),
        attached("attached"),
    ]);
    let ec2 = Ec2::new(&wire.config());
    Volumes::describe(&ec2, &VolumeId::new(VOLUME))
        .await
        .unwrap_err();
    Instances::describe(&ec2, &InstanceId::new(INSTANCE))
        .await
        .unwrap_err();
    ec2.list_of_group("g").await.unwrap();
    ec2.tags("snap-1").await.unwrap();
    Subnets::list(&ec2, &["subnet-1".to_owned()])
        .await
        .unwrap_err();
    Snapshots::describe(&ec2, "snap-1").await.unwrap();
    attach(&wire).await.unwrap();
    let actions = listed(
        &[
            Ec2::INTEGRATION_ACTIONS,
            Ec2::SUBNET_ACTIONS,
            Ec2::VALIDATION_ACTIONS,
        ]
        .concat(),
    );
    assert_eq!(wire.actions(), actions);
    assert_eq!(called_in("ec2", include_str!("../ec2.rs")), actions);
}
