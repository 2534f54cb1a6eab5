//! Tags of recovery points, from the service that stores them.

use std::collections::BTreeMap;

use recovery_core::aws::arn::{RecoveryPointArn, TagHome};
use recovery_core::error::{Error, Fault};
use recovery_core::ports::RecoveryPointTags;
use recovery_core::tags::{PLANNED, Tags};

use crate::{Backup, Config, Ec2, Fsx, Rds};

/// The services that store tags of recovery points of volumes: EC2 those of snapshots and images, AWS Backup
/// those of the recovery points whose ARN is its own.
#[derive(Debug)]
pub(crate) struct TagStores {
    pub(crate) backup: Backup,
    pub(crate) ec2: Ec2,
}

impl TagStores {
    pub(crate) fn new(config: &Config) -> TagStores {
        TagStores {
            backup: Backup::new(config),
            ec2: Ec2::new(config),
        }
    }
}

impl RecoveryPointTags for TagStores {
    async fn list(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        match point.tag_home() {
            TagHome::Ec2(id) => self.ec2.tags(id).await,
            TagHome::Backup => self.backup.tags(point).await,
            TagHome::Rds | TagHome::Fsx | TagHome::Elsewhere => Err(kept_elsewhere(point)),
        }
    }

    async fn list_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        let held_by_ec2: BTreeMap<&str, &RecoveryPointArn> = points
            .iter()
            .filter_map(|point| match point.tag_home() {
                TagHome::Ec2(id) => Some((id, point)),
                TagHome::Backup | TagHome::Rds | TagHome::Fsx | TagHome::Elsewhere => None,
            })
            .collect();
        if held_by_ec2.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids: Vec<&str> = held_by_ec2.keys().copied().collect();
        let mut tags = self.ec2.tags_together(&ids, "recovery points").await?;
        Ok(held_by_ec2
            .into_iter()
            .map(|(id, point)| (point.clone(), tags.remove(id).unwrap_or_default()))
            .collect())
    }

    async fn list_planned(&self, ids: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        self.ec2.chosen_tags(ids, &PLANNED).await
    }
}

/// The services that store tags of recovery points of every type: also RDS and FSx. A function that uses
/// [`TagStores`] instead does not contain their clients.
#[derive(Debug)]
pub(crate) struct AllTagStores {
    pub(crate) stores: TagStores,
    pub(crate) rds: Rds,
    fsx: Fsx,
}

impl AllTagStores {
    pub(crate) fn new(config: &Config) -> AllTagStores {
        AllTagStores {
            stores: TagStores::new(config),
            rds: Rds::new(config),
            fsx: Fsx::new(config),
        }
    }
}

impl RecoveryPointTags for AllTagStores {
    async fn list(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        match point.tag_home() {
            TagHome::Rds => self.rds.tags(point).await,
            TagHome::Fsx => self.fsx.tags(point).await,
            TagHome::Ec2(_) | TagHome::Backup | TagHome::Elsewhere => self.stores.list(point).await,
        }
    }

    async fn list_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        self.stores.list_together(points).await
    }

    async fn list_planned(&self, ids: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        self.stores.list_planned(ids).await
    }
}

/// The services that store tags of recovery points of databases: RDS, and AWS Backup those of the recovery points
/// whose ARN is its own.
#[derive(Debug)]
pub(crate) struct DatabaseTagStores {
    pub(crate) backup: Backup,
    pub(crate) rds: Rds,
}

impl DatabaseTagStores {
    pub(crate) fn new(config: &Config) -> DatabaseTagStores {
        DatabaseTagStores {
            backup: Backup::new(config),
            rds: Rds::new(config),
        }
    }
}

impl RecoveryPointTags for DatabaseTagStores {
    async fn list(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        match point.tag_home() {
            TagHome::Rds => self.rds.tags(point).await,
            TagHome::Backup => self.backup.tags(point).await,
            TagHome::Ec2(_) | TagHome::Fsx | TagHome::Elsewhere => Err(kept_elsewhere(point)),
        }
    }

    /// EC2 stores none of a database.
    async fn list_together(
        &self,
        _: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        Ok(BTreeMap::new())
    }

    /// As above.
    async fn list_planned(&self, _: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        Ok(BTreeMap::new())
    }
}
/// The services that store tags of recovery points of file systems: FSx, and AWS Backup those of EFS.
#[derive(Debug)]
pub(crate) struct FileSystemTagStores {
    pub(crate) backup: Backup,
    pub(crate) fsx: Fsx,
}

impl FileSystemTagStores {
    pub(crate) fn new(config: &Config) -> FileSystemTagStores {
        FileSystemTagStores {
            backup: Backup::new(config),
            fsx: Fsx::new(config),
        }
    }
}

impl RecoveryPointTags for FileSystemTagStores {
    async fn list(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        match point.tag_home() {
            TagHome::Fsx => self.fsx.tags(point).await,
            TagHome::Backup => self.backup.tags(point).await,
            TagHome::Ec2(_) | TagHome::Rds | TagHome::Elsewhere => Err(kept_elsewhere(point)),
        }
    }

    /// EC2 stores none of a file system.
    async fn list_together(
        &self,
        _: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        Ok(BTreeMap::new())
    }

    /// As above.
    async fn list_planned(&self, _: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        Ok(BTreeMap::new())
    }
}

fn kept_elsewhere(point: &RecoveryPointArn) -> Error {
    Error::Permanent(Fault::new(
        "read tags",
        point.as_str(),
        "the tags of recovery points of this form are kept by a service that this function does not ask",
        "Integrate the restored resource by hand.",
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Sent, Wire};

    /// Reads the tags of `point`. Returns the actions that were called.
    async fn asked(point: &str, answers: Vec<Answer>) -> (Vec<String>, Result<Tags, Error>) {
        let wire = Wire::answering(answers);
        let point = RecoveryPointArn::parse(point).unwrap();
        let tags = TagStores::new(&wire.config()).list(&point).await;
        (wire.actions().into_iter().collect(), tags)
    }

    #[tokio::test]
    async fn reads_tags_from_the_service_of_the_arn() {
        let tag = || {
            vec![Answer::ec2(
                "DescribeTags",
                "<tagSet><item><key>a</key><value>1</value></item></tagSet>",
            )]
        };
        for point in [
            "arn:aws:ec2:us-west-2::snapshot/snap-1",
            "arn:aws-us-gov:ec2:us-gov-west-1::image/ami-1",
        ] {
            let (actions, tags) = asked(point, tag()).await;
            assert_eq!(actions, ["ec2:DescribeTags"]);
            assert_eq!(tags.unwrap()["a"], "1");
        }
        let point = "arn:aws-cn:backup:cn-north-1:111122223333:recovery-point:1EB3B5E7";
        let answers = vec![Answer::rest(&json!({"Tags": {"a": "1"}}))];
        let (actions, tags) = asked(point, answers).await;
        assert_eq!(actions, ["backup:ListTags"]);
        assert_eq!(tags.unwrap()["a"], "1");
        for point in [
            SNAPSHOT,
            "arn:aws:fsx:us-west-2:111122223333:backup/backup-1",
        ] {
            let (actions, tags) = asked(point, Vec::new()).await;
            assert!(actions.is_empty());
            assert_eq!(tags.unwrap_err().error_type(), "Permanent");
        }
    }

    const SNAPSHOT: &str = "arn:aws:rds:us-west-2:111122223333:snapshot:awsbackup:copyjob-1";

    #[tokio::test]
    async fn all_stores_read_tags_of_databases_from_rds() {
        let tags = "<TagList><Tag><Key>a</Key><Value>1</Value></Tag></TagList>";
        let wire = Wire::answering([
            Answer::query("ListTagsForResource", tags),
            Answer::rest(&json!({"Tags": {"a": "2"}})),
        ]);
        let stores = AllTagStores::new(&wire.config());
        let read = async |point: &str| {
            let point = RecoveryPointArn::parse(point).unwrap();
            stores.list(&point).await.unwrap()["a"].clone()
        };
        assert_eq!(read(SNAPSHOT).await, "1");
        assert_eq!(read(IN_BACKUP).await, "2");
        let sent: Vec<String> = wire.sent().iter().map(Sent::action).collect();
        assert_eq!(sent, ["rds:ListTagsForResource", "backup:ListTags"]);
    }

    const IN_BACKUP: &str = "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7";

    #[tokio::test]
    async fn stores_of_databases_do_not_ask_ec2() {
        let tags = "<TagList><Tag><Key>a</Key><Value>1</Value></Tag></TagList>";
        let wire = Wire::answering([
            Answer::query("ListTagsForResource", tags),
            Answer::rest(&json!({"Tags": {"a": "2"}})),
        ]);
        let stores = DatabaseTagStores::new(&wire.config());
        let points = [SNAPSHOT, IN_BACKUP].map(|arn| RecoveryPointArn::parse(arn).unwrap());
        assert_eq!(stores.list(&points[0]).await.unwrap()["a"], "1");
        assert_eq!(stores.list(&points[1]).await.unwrap()["a"], "2");
        let of_ec2 = RecoveryPointArn::parse("arn:aws:ec2:us-west-2::snapshot/snap-1").unwrap();
        assert!(stores.list(&of_ec2).await.is_err());
        assert!(stores.list_together(&[of_ec2]).await.unwrap().is_empty());
        assert!(stores.list_planned(&["snap-1"]).await.unwrap().is_empty());
        assert_eq!(wire.sent().len(), 2);
    }

    #[tokio::test]
    async fn reads_tags_of_many_snapshots_in_one_call() {
        let wire = Wire::answering([Answer::ec2(
            "DescribeTags",
            "<tagSet><item><resourceId>snap-1</resourceId><key>a</key><value>1</value></item>\
             <item><resourceId>snap-2</resourceId><key>a</key><value>2</value></item></tagSet>",
        )]);
        let stores = TagStores::new(&wire.config());
        let points = [
            "arn:aws:ec2:us-west-2::snapshot/snap-1",
            "arn:aws:ec2:us-west-2::snapshot/snap-2",
            "arn:aws:ec2:us-west-2::snapshot/snap-3",
            "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7",
        ]
        .map(|arn| RecoveryPointArn::parse(arn).unwrap());
        let tags = stores.list_together(&points).await.unwrap();
        assert_eq!(tags[&points[0]]["a"], "1");
        assert_eq!(tags[&points[1]]["a"], "2");
        assert!(tags[&points[2]].is_empty());
        // Recovery points of AWS Backup are read one by one, elsewhere.
        assert_eq!(tags.len(), 3);
        assert_eq!(wire.sent().len(), 1);
        let none = stores.list_together(&points[3..]).await.unwrap();
        assert!(none.is_empty());
        assert_eq!(wire.sent().len(), 1);
    }
}
