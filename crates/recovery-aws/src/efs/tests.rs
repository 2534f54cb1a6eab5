use recovery_core::aws::file_system::EfsState;
use serde_json::{Value, json};

use super::*;
use crate::wire::{Answer, Wire, called_in, listed};

const ARN: &str = "arn:aws:elasticfilesystem:us-west-2:111122223333:file-system/fs-1";

fn described(members: &Value) -> Answer {
    let mut one = json!({
        "OwnerId": "111122223333",
        "CreationToken": "token",
        "FileSystemId": "fs-1",
        "FileSystemArn": ARN,
        "CreationTime": 1_795_413_600,
        "LifeCycleState": "available",
        "NumberOfMountTargets": 0,
        "PerformanceMode": "generalPurpose",
        "Tags": [],
    });
    let members = members.as_object().unwrap().clone();
    one.as_object_mut().unwrap().extend(members);
    Answer::rest(&json!({"FileSystems": [one]}))
}

async fn read(answer: Answer) -> Option<EfsFileSystem> {
    let wire = Wire::answering([answer]);
    let found = Efs::new(&wire.config()).describe("fs-1").await.unwrap();
    assert_eq!(wire.only().query()["FileSystemId"], "fs-1");
    found
}

#[tokio::test]
async fn describes_a_file_system() {
    let found = read(described(&json!({}))).await.unwrap();
    assert_eq!(
        found,
        EfsFileSystem {
            id: "fs-1".to_owned(),
            arn: Arn::parse(ARN).unwrap(),
            state: EfsState::Available,
            restore_test: false,
        }
    );
    let tested = json!({
        "LifeCycleState": "creating",
        "Tags": [{"Key": "awsbackup-restore-test", "Value": "x"}],
    });
    let found = read(described(&tested)).await.unwrap();
    assert_eq!(
        (found.state, found.restore_test),
        (EfsState::Creating, true)
    );
    let gone = Answer::rest_error(404, "FileSystemNotFound", "no such file system");
    assert_eq!(read(gone).await, None);
}

#[tokio::test]
async fn lists_every_page_of_mount_targets_and_access_points() {
    let target = |n: u8| {
        json!({
            "MountTargetId": format!("fsmt-{n}"), "FileSystemId": "fs-1", "SubnetId": format!("subnet-{n}"),
            "LifeCycleState": "available", "IpAddress": format!("10.0.{n}.5"),
            "AvailabilityZoneName": "us-west-2a",
        })
    };
    let point = |n: u8, root: Value| {
        json!({
            "AccessPointId": format!("fsap-{n}"), "ClientToken": format!("token-{n}"), "FileSystemId": "fs-1",
            "RootDirectory": root, "LifeCycleState": "creating",
        })
    };
    let wire = Wire::answering([
        Answer::rest(&json!({"MountTargets": [target(1)], "NextMarker": "more"})),
        Answer::rest(&json!({"MountTargets": [target(2)]})),
        Answer::rest(
            &json!({"AccessPoints": [point(1, json!({"Path": "/data"}))], "NextToken": "more"}),
        ),
        Answer::rest(&json!({"AccessPoints": [point(2, json!({
            "Path": "/", "CreationInfo": {"OwnerUid": 0, "OwnerGid": 0, "Permissions": "755"},
        }))]})),
    ]);
    let efs = Efs::new(&wire.config());
    let targets = efs.list_mount_targets("fs-1").await.unwrap();
    assert_eq!(targets.len(), 2);
    assert_eq!(
        targets[1],
        MountTarget {
            id: "fsmt-2".to_owned(),
            subnet: "subnet-2".to_owned(),
            zone: "us-west-2a".to_owned(),
            address: Some("10.0.2.5".to_owned()),
            state: EfsState::Available,
        }
    );
    let points = efs.list_access_points("fs-1").await.unwrap();
    assert_eq!(
        points[0],
        AccessPoint {
            id: "fsap-1".to_owned(),
            path: "/data".to_owned(),
            creates_directory: false,
            state: EfsState::Creating,
        }
    );
    assert!(points[1].creates_directory);
    let sent = wire.sent();
    assert_eq!(sent[1].query()["Marker"], "more");
    assert_eq!(sent[3].query()["NextToken"], "more");
}

fn new_target() -> NewMountTarget {
    NewMountTarget {
        file_system: "fs-1".to_owned(),
        subnet: "subnet-1".to_owned(),
        security_groups: vec!["sg-1".to_owned(), "sg-2".to_owned()],
    }
}

#[tokio::test]
async fn creates_a_mount_target() {
    let target = json!({
        "MountTargetId": "fsmt-1", "FileSystemId": "fs-1", "SubnetId": "subnet-1", "LifeCycleState": "creating",
    });
    let wire = Wire::answering([Answer::rest(&target)]);
    let efs = Efs::new(&wire.config());
    let answer = efs.create_mount_target(&new_target()).await.unwrap();
    assert!(matches!(answer, EfsAnswer::Created));
    let sent = wire.only();
    assert_eq!(sent.method, "POST");
    assert_eq!(
        sent.json(),
        json!({"FileSystemId": "fs-1", "SubnetId": "subnet-1", "SecurityGroups": ["sg-1", "sg-2"]})
    );
}

#[tokio::test]
async fn creates_an_access_point_without_a_directory() {
    let created = || Answer::rest(&json!({"AccessPointId": "fsap-1"}));
    let wire = Wire::answering([created(), created()]);
    let efs = Efs::new(&wire.config());
    let mut new = NewAccessPoint {
        file_system: "fs-1".to_owned(),
        token: "token".to_owned(),
        path: "/aws-backup-restore_1".to_owned(),
        tags: vec![("recovery:drill", "d-1".to_owned())],
    };
    let answer = efs.create_access_point(&new).await.unwrap();
    assert!(matches!(answer, EfsAnswer::Created));
    new.tags.clear();
    efs.create_access_point(&new).await.unwrap();
    let sent = wire.sent();
    assert_eq!(sent[0].method, "POST");
    // With CreationInfo, a wrong path would become an empty directory.
    let mut expected = json!({
        "ClientToken": "token",
        "FileSystemId": "fs-1",
        "RootDirectory": {"Path": "/aws-backup-restore_1"},
        "Tags": [{"Key": "recovery:drill", "Value": "d-1"}],
    });
    assert_eq!(sent[0].json(), expected);
    expected.as_object_mut().unwrap().remove("Tags");
    assert_eq!(sent[1].json(), expected);
}

#[tokio::test]
async fn classifies_the_answers_to_a_creation() {
    let check = async |status: u16, code: &str, expected: &str| {
        let wire = Wire::answering([Answer::rest_error(status, code, "in the words of EFS")]);
        let efs = Efs::new(&wire.config_without_retries());
        let answer = match efs.create_mount_target(&new_target()).await {
            Ok(EfsAnswer::Created) => "created".to_owned(),
            Ok(EfsAnswer::Exists) => "exists".to_owned(),
            Ok(EfsAnswer::Busy(fault)) => format!("busy {}", fault.code().unwrap()),
            Ok(EfsAnswer::Rejected(fault)) => format!("rejected {}", fault.code().unwrap()),
            Err(error) => error.error_type().to_owned(),
        };
        assert_eq!(answer, expected);
    };
    for code in EXISTS {
        check(409, code, "exists").await;
    }
    check(
        409,
        "IncorrectFileSystemLifeCycleState",
        "busy IncorrectFileSystemLifeCycleState",
    )
    .await;
    for code in REJECTED {
        check(400, code, &format!("rejected {code}")).await;
    }
    check(500, "InternalServerError", "Retryable").await;
    check(429, "ThrottlingException", "Retryable").await;
    check(403, "AccessDeniedException", "Permanent").await;
    check(404, "FileSystemNotFound", "Permanent").await;
}

#[test]
fn actions_are_those_of_the_calls() {
    assert_eq!(
        called_in("elasticfilesystem", include_str!("../efs.rs")),
        listed(Efs::ACTIONS)
    );
}
