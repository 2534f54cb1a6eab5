//! S3 buckets.

use chrono::TimeDelta;

use crate::aws::arn::Arn;
use crate::aws::backup::RestoreJob;
use crate::aws::bucket::{BucketEncryption, ObjectOwnership, S3};
use crate::aws::cloudformation::StackResource;
use crate::error::Error;
use crate::fakes::{FakeClock, RESTORE_ROLE, World, completed_job};
use crate::ports::{Buckets, Clock};

/// A bucket and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeBucket {
    /// Whether it keeps versions.
    pub versioned: bool,
    /// Who owns its objects.
    pub ownership: ObjectOwnership,
    /// Whether it rejects public access control lists.
    pub blocks_public_acls: bool,
    /// How it encrypts objects.
    pub encryption: BucketEncryption,
}

impl Default for FakeBucket {
    /// As CloudFormation creates one with versioning.
    fn default() -> FakeBucket {
        FakeBucket {
            versioned: true,
            ownership: ObjectOwnership::BucketOwnerEnforced,
            blocks_public_acls: true,
            encryption: BucketEncryption::S3,
        }
    }
}

impl World {
    /// Adds the bucket `assets-1`, which is `Assets` in the stack.
    pub fn add_bucket(&self, stack: &str) {
        let resource = StackResource {
            resource_type: "AWS::S3::Bucket".to_owned(),
            physical_id: Some("assets-1".to_owned()),
            status: "CREATE_COMPLETE".into(),
        };
        let mut state = self.state();
        let key = (stack.to_owned(), "Assets".to_owned());
        state.stack_resources.insert(key, resource);
        state
            .buckets
            .insert("assets-1".to_owned(), FakeBucket::default());
    }

    /// Adds the completed restore of the bucket `orders` into `assets-1`, job `job-bucket`, with these tags.
    pub fn add_restored_bucket(&self, tags: &[(&str, &str)]) {
        let point =
            "arn:aws:backup:us-west-2:111122223333:recovery-point:orders-20261123050000-1a2b3c4d";
        let completed = FakeClock::new().now() - TimeDelta::seconds(42);
        let job = RestoreJob {
            resource_type: Some(S3.to_owned()),
            source_resource: Arn::parse("arn:aws:s3:::orders").ok(),
            created_resource: Arn::parse("arn:aws:s3:::assets-1").ok(),
            ..completed_job("bucket", point, RESTORE_ROLE, completed, completed)
        };
        let mut state = self.state();
        let tags = tags.iter();
        let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        state.tags.insert(point.to_owned(), tags.collect());
        state.restore_jobs.insert(job.id.to_string(), job);
    }

    /// A read of a bucket.
    fn read_bucket<T>(
        &self,
        operation: &'static str,
        bucket: &str,
        read: impl FnOnce(&FakeBucket) -> T,
    ) -> Result<Option<T>, Error> {
        self.call(operation, bucket, |state| {
            Ok(state.buckets.get(bucket).map(read))
        })
    }
}

impl Buckets for World {
    async fn is_versioned(&self, bucket: &str) -> Result<Option<bool>, Error> {
        self.read_bucket("s3:GetBucketVersioning", bucket, |bucket| bucket.versioned)
    }

    async fn ownership(&self, bucket: &str) -> Result<Option<ObjectOwnership>, Error> {
        self.read_bucket("s3:GetBucketOwnershipControls", bucket, |bucket| {
            bucket.ownership.clone()
        })
    }

    async fn blocks_public_acls(&self, bucket: &str) -> Result<Option<bool>, Error> {
        self.read_bucket("s3:GetBucketPublicAccessBlock", bucket, |bucket| {
            bucket.blocks_public_acls
        })
    }

    async fn encryption(&self, bucket: &str) -> Result<Option<BucketEncryption>, Error> {
        self.read_bucket("s3:GetEncryptionConfiguration", bucket, |bucket| {
            bucket.encryption.clone()
        })
    }
}
