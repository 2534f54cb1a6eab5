//! Settings of buckets that objects are restored into.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use recovery_core::aws::bucket::{BucketEncryption, ObjectOwnership};
use recovery_core::error::Error;
use recovery_core::ports::Buckets;

use crate::client::{Config, Lazy, client};
use crate::error::{SdkError, classify, code, incomplete};

/// Buckets of the recovery Region.
#[derive(Debug)]
pub struct S3 {
    client: Lazy<Client>,
}

const GET_ENCRYPTION: &str = "s3:GetEncryptionConfiguration";
const GET_OWNERSHIP: &str = "s3:GetBucketOwnershipControls";
const GET_PUBLIC_ACCESS_BLOCK: &str = "s3:GetBucketPublicAccessBlock";
const GET_VERSIONING: &str = "s3:GetBucketVersioning";

/// The code of an error that says that the bucket does not exist.
const NOT_FOUND: &str = "NoSuchBucket";

impl S3 {
    /// The IAM actions for all settings. Some have other names than their operations.
    pub const SETTINGS_ACTIONS: &'static [&'static str] = &[
        GET_ENCRYPTION,
        GET_OWNERSHIP,
        GET_PUBLIC_ACCESS_BLOCK,
        GET_VERSIONING,
    ];

    /// The IAM action that shows whether a bucket exists.
    pub const LOOKUP_ACTIONS: &'static [&'static str] = &[GET_VERSIONING];

    pub fn new(config: &Config) -> S3 {
        S3 {
            client: client!(config, aws_sdk_s3),
        }
    }
}

impl Buckets for S3 {
    /// A bucket that never had versioning has no status.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html>
    async fn is_versioned(&self, bucket: &str) -> Result<Option<bool>, Error> {
        let answer = self.client.get_bucket_versioning().bucket(bucket).send();
        let answer = found(GET_VERSIONING, bucket, answer.await, None)?;
        Ok(answer.map(|answer| match answer {
            Setting::Set(answer) => answer
                .status
                .is_some_and(|status| status.as_str() == "Enabled"),
            Setting::Unset => false,
        }))
    }

    /// Without controls, objects belong to whoever writes them, and can have access control lists.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketOwnershipControls.html>
    async fn ownership(&self, bucket: &str) -> Result<Option<ObjectOwnership>, Error> {
        let answer = self
            .client
            .get_bucket_ownership_controls()
            .bucket(bucket)
            .send()
            .await;
        let unset = Some("OwnershipControlsNotFoundError");
        Ok(match found(GET_OWNERSHIP, bucket, answer, unset)? {
            None => None,
            Some(Setting::Unset) => Some(ObjectOwnership::ObjectWriter),
            Some(Setting::Set(answer)) => {
                let controls = answer.ownership_controls;
                let rule = controls.and_then(|controls| controls.rules.into_iter().next());
                let rule = rule.ok_or_else(|| incomplete(GET_OWNERSHIP, bucket, "rule"))?;
                Some(rule.object_ownership.as_str().into())
            }
        })
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetPublicAccessBlock.html>
    async fn blocks_public_acls(&self, bucket: &str) -> Result<Option<bool>, Error> {
        let answer = self
            .client
            .get_public_access_block()
            .bucket(bucket)
            .send()
            .await;
        let unset = Some("NoSuchPublicAccessBlockConfiguration");
        let answer = found(GET_PUBLIC_ACCESS_BLOCK, bucket, answer, unset)?;
        Ok(answer.map(|answer| match answer {
            Setting::Unset => false,
            Setting::Set(answer) => answer
                .public_access_block_configuration
                .and_then(|block| block.block_public_acls)
                .unwrap_or(false),
        }))
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketEncryption.html>
    async fn encryption(&self, bucket: &str) -> Result<Option<BucketEncryption>, Error> {
        let answer = self.client.get_bucket_encryption().bucket(bucket).send();
        let unset = Some("ServerSideEncryptionConfigurationNotFoundError");
        Ok(match found(GET_ENCRYPTION, bucket, answer.await, unset)? {
            None => None,
            Some(Setting::Unset) => Some(BucketEncryption::S3),
            Some(Setting::Set(answer)) => {
                let default = answer
                    .server_side_encryption_configuration
                    .and_then(|all| all.rules.into_iter().next())
                    .and_then(|rule| rule.apply_server_side_encryption_by_default);
                Some(match default {
                    Some(it) if it.sse_algorithm != ServerSideEncryption::Aes256 => {
                        BucketEncryption::Kms(it.kms_master_key_id)
                    }
                    _ => BucketEncryption::S3,
                })
            }
        })
    }
}

/// A setting of a bucket.
enum Setting<T> {
    Set(T),
    Unset,
}

/// The answer to a read; `None` if S3 says that the bucket does not exist. `unset` is the code of the error that says that
/// it does not have the setting.
fn found<T, E>(
    operation: &'static str,
    bucket: &str,
    answer: Result<T, SdkError<E>>,
    unset: Option<&str>,
) -> Result<Option<Setting<T>>, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(Setting::Set(answer))),
        Err(error) => match code(&error) {
            Some(NOT_FOUND) => Ok(None),
            Some(code) if Some(code) == unset => Ok(Some(Setting::Unset)),
            _ => Err(classify(operation, bucket, error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const BUCKET: &str = "assets-1";

    fn answering(answers: impl IntoIterator<Item = Answer>) -> (Wire, S3) {
        let wire = Wire::answering(answers);
        let s3 = S3::new(&wire.config());
        (wire, s3)
    }

    fn xml(body: &str) -> Answer {
        Answer::s3(body)
    }

    #[tokio::test]
    async fn reads_whether_a_bucket_keeps_versions() {
        for (body, expected) in [
            (
                "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
                true,
            ),
            (
                "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
                false,
            ),
            ("<VersioningConfiguration/>", false),
        ] {
            let (wire, s3) = answering([xml(body)]);
            assert_eq!(
                s3.is_versioned(BUCKET).await.unwrap(),
                Some(expected),
                "{body}"
            );
            let uri = wire.only().uri;
            assert!(
                uri.starts_with("https://assets-1.s3.us-west-2.amazonaws.com/?versioning"),
                "{uri}"
            );
        }
    }

    #[tokio::test]
    async fn reads_who_owns_the_objects() {
        let controls = |word: &str| {
            xml(&format!(
                "<OwnershipControls><Rule><ObjectOwnership>{word}</ObjectOwnership></Rule></OwnershipControls>"
            ))
        };
        for (answer, expected) in [
            (
                controls("BucketOwnerEnforced"),
                ObjectOwnership::BucketOwnerEnforced,
            ),
            (controls("ObjectWriter"), ObjectOwnership::ObjectWriter),
            (
                Answer::s3_error(404, "OwnershipControlsNotFoundError"),
                ObjectOwnership::ObjectWriter,
            ),
        ] {
            let (_, s3) = answering([answer]);
            assert_eq!(s3.ownership(BUCKET).await.unwrap(), Some(expected));
        }
    }

    #[tokio::test]
    async fn reads_whether_public_lists_are_blocked() {
        let block = |word: &str| {
            xml(&format!(
                "<PublicAccessBlockConfiguration><BlockPublicAcls>{word}</BlockPublicAcls></PublicAccessBlockConfiguration>"
            ))
        };
        for (answer, expected) in [
            (block("true"), true),
            (block("false"), false),
            (
                Answer::s3_error(404, "NoSuchPublicAccessBlockConfiguration"),
                false,
            ),
        ] {
            let (_, s3) = answering([answer]);
            assert_eq!(s3.blocks_public_acls(BUCKET).await.unwrap(), Some(expected));
        }
    }

    #[tokio::test]
    async fn reads_how_a_bucket_encrypts() {
        let rule = |inner: &str| {
            xml(&format!(
                "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>{inner}</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
            ))
        };
        let key = "arn:aws:kms:us-west-2:1:key/2";
        for (answer, expected) in [
            (
                rule("<SSEAlgorithm>AES256</SSEAlgorithm>"),
                BucketEncryption::S3,
            ),
            (
                rule("<SSEAlgorithm>aws:kms</SSEAlgorithm>"),
                BucketEncryption::Kms(None),
            ),
            (
                rule(&format!(
                    "<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm><KMSMasterKeyID>{key}</KMSMasterKeyID>"
                )),
                BucketEncryption::Kms(Some(key.to_owned())),
            ),
            (
                Answer::s3_error(404, "ServerSideEncryptionConfigurationNotFoundError"),
                BucketEncryption::S3,
            ),
        ] {
            let (_, s3) = answering([answer]);
            assert_eq!(s3.encryption(BUCKET).await.unwrap(), Some(expected));
        }
    }

    #[tokio::test]
    async fn a_bucket_that_does_not_exist_is_none_and_a_foreign_one_an_error() {
        let gone = || Answer::s3_error(404, "NoSuchBucket");
        let (_, s3) = answering([gone(), gone(), gone(), gone()]);
        assert_eq!(s3.is_versioned(BUCKET).await.unwrap(), None);
        assert_eq!(s3.ownership(BUCKET).await.unwrap(), None);
        assert_eq!(s3.blocks_public_acls(BUCKET).await.unwrap(), None);
        assert_eq!(s3.encryption(BUCKET).await.unwrap(), None);
        let (_, s3) = answering([Answer::s3_error(403, "AccessDenied")]);
        let error = s3.is_versioned(BUCKET).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_eq!(error.fault().subject(), BUCKET);
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let empty = || Answer::s3_error(404, "NoSuchBucket");
        let (wire, s3) = answering([empty(), empty(), empty(), empty()]);
        s3.is_versioned(BUCKET).await.unwrap();
        s3.ownership(BUCKET).await.unwrap();
        s3.blocks_public_acls(BUCKET).await.unwrap();
        s3.encryption(BUCKET).await.unwrap();
        assert_eq!(wire.actions(), listed(S3::SETTINGS_ACTIONS));
        // The IAM actions for two of the operations have other names.
        assert_eq!(
            called_in("s3", include_str!("buckets.rs")),
            listed(&[
                "s3:GetBucketEncryption",
                GET_OWNERSHIP,
                GET_VERSIONING,
                "s3:GetPublicAccessBlock"
            ])
        );
    }
}
