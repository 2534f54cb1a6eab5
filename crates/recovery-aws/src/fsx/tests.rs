use recovery_core::aws::file_system::{FsxState, FsxType};
use serde_json::{Value, json};

use super::*;
use crate::wire::{Answer, Wire, called_in, listed};

const ARN: &str = "arn:aws:fsx:us-west-2:111122223333:file-system/fs-2";
const VOLUME: &str = "arn:aws:fsx:us-west-2:111122223333:volume/fs-3/fsvol-3";

fn not_found(code: &str) -> Answer {
    Answer::json_error(400, code, &json!({"Message": "no such resource"}))
}

fn lustre(members: &Value) -> Answer {
    let mut one = json!({
        "FileSystemId": "fs-2",
        "FileSystemType": "LUSTRE",
        "Lifecycle": "AVAILABLE",
        "ResourceARN": ARN,
        "DNSName": "fs-2.fsx.us-west-2.amazonaws.com",
        "LustreConfiguration": {"MountName": "fzlesbev"},
        "Tags": [{"Key": "Name", "Value": "shared"}],
    });
    let members = members.as_object().unwrap().clone();
    one.as_object_mut().unwrap().extend(members);
    Answer::json(&json!({"FileSystems": [one]}))
}

async fn read(answer: Answer) -> Option<FsxFileSystem> {
    let wire = Wire::answering([answer]);
    let found = Fsx::new(&wire.config()).describe("fs-2").await.unwrap();
    assert_eq!(wire.only().json(), json!({"FileSystemIds": ["fs-2"]}));
    found
}

#[tokio::test]
async fn describes_a_file_system() {
    assert_eq!(
        read(lustre(&json!({}))).await.unwrap(),
        FsxFileSystem {
            id: "fs-2".to_owned(),
            arn: Arn::parse(ARN).unwrap(),
            kind: FsxType::Lustre,
            state: FsxState::Available,
            failure: None,
            dns_name: Some("fs-2.fsx.us-west-2.amazonaws.com".to_owned()),
            mount_name: Some("fzlesbev".to_owned()),
            root_volume: None,
            restore_test: false,
        }
    );
    let failed = json!({
        "Lifecycle": "FAILED",
        "FailureDetails": {"Message": "no capacity"},
        "Tags": [{"Key": "awsbackup-restore-test", "Value": "x"}],
    });
    let found = read(lustre(&failed)).await.unwrap();
    assert_eq!(found.state, FsxState::Failed);
    assert_eq!(found.failure.as_deref(), Some("no capacity"));
    assert!(found.restore_test);
    assert_eq!(read(not_found("FileSystemNotFound")).await, None);
}

#[tokio::test]
async fn describes_a_volume_and_where_its_machine_is_reached() {
    let volume = json!({
        "VolumeId": "fsvol-3",
        "ResourceARN": VOLUME,
        "Lifecycle": "CREATED",
        "OntapConfiguration": {"JunctionPath": "/orders", "StorageVirtualMachineId": "svm-3"},
    });
    let machine = json!({
        "StorageVirtualMachineId": "svm-3",
        "Endpoints": {"Nfs": {"DNSName": "svm-3.example"}, "Management": {"DNSName": "m.example"}},
    });
    let wire = Wire::answering([
        Answer::json(&json!({"Volumes": [volume]})),
        Answer::json(&json!({"StorageVirtualMachines": [machine]})),
        not_found("VolumeNotFound"),
        not_found("StorageVirtualMachineNotFound"),
    ]);
    let fsx = Fsx::new(&wire.config());
    assert_eq!(
        fsx.volume("fsvol-3").await.unwrap().unwrap(),
        FsxVolume {
            id: "fsvol-3".to_owned(),
            arn: Arn::parse(VOLUME).unwrap(),
            state: FsxState::Created,
            failure: None,
            machine: "svm-3".to_owned(),
            junction_path: Some("/orders".to_owned()),
            restore_test: false,
        }
    );
    assert_eq!(
        fsx.storage_machine("svm-3").await.unwrap().unwrap(),
        StorageMachine {
            nfs: Some("svm-3.example".to_owned()),
            smb: None,
        }
    );
    assert_eq!(fsx.volume("fsvol-3").await.unwrap(), None);
    assert_eq!(fsx.storage_machine("svm-3").await.unwrap(), None);
    let sent = wire.sent();
    assert_eq!(sent[0].json(), json!({"VolumeIds": ["fsvol-3"]}));
    assert_eq!(
        sent[1].json(),
        json!({"StorageVirtualMachineIds": ["svm-3"]})
    );
}

#[tokio::test]
async fn reads_the_path_of_the_root_volume_of_openzfs() {
    let openzfs = json!({
        "FileSystemType": "OPENZFS",
        "LustreConfiguration": null,
        "OpenZFSConfiguration": {"RootVolumeId": "fsvol-1"},
    });
    let found = read(lustre(&openzfs)).await.unwrap();
    assert_eq!(found.root_volume.as_deref(), Some("fsvol-1"));
    let volume = json!({"VolumeId": "fsvol-1", "OpenZFSConfiguration": {"VolumePath": "/fsx"}});
    let wire = Wire::answering([
        Answer::json(&json!({"Volumes": [volume]})),
        not_found("VolumeNotFound"),
        Answer::json(&json!({"Volumes": [{"VolumeId": "fsvol-1"}]})),
    ]);
    let fsx = Fsx::new(&wire.config());
    let path = fsx.volume_path("fsvol-1").await.unwrap();
    assert_eq!(path.as_deref(), Some("/fsx"));
    assert_eq!(fsx.volume_path("fsvol-1").await.unwrap(), None);
    assert!(fsx.volume_path("fsvol-1").await.is_err());
    assert_eq!(wire.sent()[0].json(), json!({"VolumeIds": ["fsvol-1"]}));
}

#[tokio::test]
async fn reads_every_page_of_tags() {
    let point =
        RecoveryPointArn::parse("arn:aws:fsx:us-west-2:111122223333:backup/backup-1").unwrap();
    let tag = |key: &str| json!({"Key": key, "Value": "v"});
    let wire = Wire::answering([
        Answer::json(&json!({"Tags": [tag("a")], "NextToken": "more"})),
        Answer::json(&json!({"Tags": [tag("b")]})),
    ]);
    let tags = Fsx::new(&wire.config()).tags(&point).await.unwrap();
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        wire.sent()[1].json(),
        json!({"ResourceARN": point.as_str(), "NextToken": "more"})
    );
}

#[test]
fn actions_are_those_of_the_calls() {
    let all = [Fsx::TAG_ACTIONS, Fsx::INTEGRATION_ACTIONS].concat();
    assert_eq!(called_in("fsx", include_str!("../fsx.rs")), listed(&all));
    for action in Fsx::LOOKUP_ACTIONS {
        assert!(all.contains(action), "{action}");
    }
}
