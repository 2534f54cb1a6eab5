//! The buckets of the rehearsal: creates them in the primary Region, and observes them in the recovery Region.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, ObjectIdentifier, Tag, Tagging, VersioningConfiguration,
};

use crate::observations::RestoredBucket;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::region::LocalRegion;
use crate::stores::Stores;
use crate::workload::{Bucket, OBJECTS, PRIMARY_REGION, REGION, WORKLOAD};

/// Clients with the operator's credentials, for both Regions.
pub(crate) struct Buckets {
    primary: aws_sdk_s3::Client,
    s3: aws_sdk_s3::Client,
}

impl Buckets {
    pub(crate) fn on(region: &LocalRegion) -> Buckets {
        // Path-style addressing: bucket names are not host names of this machine.
        let client = |name| {
            let config = aws_sdk_s3::config::Builder::from(&region.sdk_config(name));
            aws_sdk_s3::Client::from_conf(config.force_path_style(true).build())
        };
        Buckets {
            primary: client(PRIMARY_REGION),
            s3: client(REGION),
        }
    }

    /// Creates them in the primary Region, with two versions of each object. Returns their ARNs.
    pub(crate) async fn protect(&self, buckets: &[Bucket]) -> Result<Vec<String>, Problem> {
        for bucket in buckets {
            self.create(bucket).await?;
            for (key, content) in OBJECTS {
                for content in ["old", content] {
                    let put = self.primary.put_object().bucket(bucket.source).key(key);
                    put.body(content.as_bytes().to_vec().into())
                        .send()
                        .await
                        .map_err(|error| not_created(bucket, error))?;
                }
            }
        }
        Ok(buckets
            .iter()
            .map(|bucket| format!("arn:aws:s3:::{}", bucket.source))
            .collect())
    }

    async fn create(&self, bucket: &Bucket) -> Result<(), Problem> {
        let mut tags = Vec::new();
        for (key, value) in bucket.tags {
            let tag = Tag::builder().key(*key).value(*value).build();
            tags.push(tag.map_err(|error| not_created(bucket, error))?);
        }
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build();
        // S3 takes no location for us-east-1.
        self.primary
            .create_bucket()
            .bucket(bucket.source)
            .send()
            .await
            .map_err(|error| not_created(bucket, error))?;
        self.primary
            .put_bucket_versioning()
            .bucket(bucket.source)
            .versioning_configuration(
                VersioningConfiguration::builder()
                    .status(BucketVersioningStatus::Enabled)
                    .build(),
            )
            .send()
            .await
            .map_err(|error| not_created(bucket, error))?;
        self.primary
            .put_bucket_tagging()
            .bucket(bucket.source)
            .tagging(tagging.map_err(|error| not_created(bucket, error))?)
            .send()
            .await
            .map_err(|error| not_created(bucket, error))?;
        Ok(())
    }

    /// The bucket of the stack, after `job` restored into it.
    pub(crate) async fn restored(
        &self,
        operator: &Operator<'_>,
        stores: &Stores<'_>,
        bucket: Bucket,
        job: String,
        point: &str,
    ) -> Result<RestoredBucket, Problem> {
        let name = operator.resource(WORKLOAD, bucket.logical_id).await?;
        Ok(RestoredBucket {
            objects: self.objects(&name).await?,
            published: stores.published(bucket.path).await?,
            recovery_point: point.to_owned(),
            job,
            name,
            bucket,
        })
    }

    /// The objects of a bucket of the recovery Region, each with its content and the number of its versions.
    pub(crate) async fn objects(
        &self,
        name: &str,
    ) -> Result<BTreeMap<String, (String, usize)>, Problem> {
        let mut objects: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for (key, _) in self.versions(name).await? {
            objects.entry(key).or_default().1 += 1;
        }
        for (key, (content, _)) in &mut objects {
            let object = self.s3.get_object().bucket(name).key(key).send().await;
            let body = object.map_err(|error| unread(name, error))?.body;
            let bytes = body.collect().await.map_err(|error| unread(name, error))?;
            *content = String::from_utf8_lossy(&bytes.into_bytes()).into_owned();
        }
        Ok(objects)
    }

    async fn versions(&self, name: &str) -> Result<Vec<(String, String)>, Problem> {
        let listed = self.s3.list_object_versions().bucket(name).send().await;
        let listed = listed.map_err(|error| unread(name, error))?;
        Ok(listed
            .versions()
            .iter()
            .filter_map(|version| {
                Some((version.key()?.to_owned(), version.version_id()?.to_owned()))
            })
            .collect())
    }

    /// Deletes all versions of all objects. Returns how many.
    pub(crate) async fn empty(&self, name: &str) -> Result<usize, Problem> {
        let mut delete = Delete::builder();
        let versions = self.versions(name).await?;
        let count = versions.len();
        for (key, version) in versions {
            let object = ObjectIdentifier::builder().key(key).version_id(version);
            delete = delete.objects(object.build().map_err(|error| unread(name, error))?);
        }
        self.s3
            .delete_objects()
            .bucket(name)
            .delete(delete.build().map_err(|error| unread(name, error))?)
            .send()
            .await
            .map_err(|error| Problem::new(format!("{name} could not be emptied"), error))?;
        Ok(count)
    }
}

fn not_created(bucket: &Bucket, error: impl std::error::Error) -> Problem {
    Problem::new(
        format!("the bucket {} could not be created", bucket.source),
        error,
    )
}

fn unread(name: &str, error: impl std::error::Error) -> Problem {
    Problem::new(format!("the bucket {name} could not be read"), error)
}
