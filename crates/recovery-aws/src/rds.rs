//! RDS: databases of RDS, Aurora, DocumentDB and Neptune, which all have this API.

use aws_sdk_rds::Client;
use recovery_core::aws::arn::RecoveryPointArn;
use recovery_core::error::Error;
use recovery_core::tags::Tags;

use crate::client::{Config, Lazy, client};
use crate::error::classify;

const LIST_TAGS: &str = "rds:ListTagsForResource";

/// RDS in the recovery Region.
#[derive(Debug)]
pub struct Rds {
    client: Lazy<Client>,
}

impl Rds {
    /// The IAM action for the tags of recovery points.
    pub const TAG_ACTIONS: &'static [&'static str] = &[LIST_TAGS];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    fn point() -> RecoveryPointArn {
        let arn = "arn:aws:rds:us-west-2:111122223333:cluster-snapshot:awsbackup:copyjob-1";
        RecoveryPointArn::parse(arn).unwrap()
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
        assert_eq!(
            called_in("rds", include_str!("rds.rs")),
            listed(Rds::TAG_ACTIONS)
        );
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
}
