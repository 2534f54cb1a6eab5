//! S3 buckets, as the destinations of restores.

use crate::aws::arn::Arn;

/// The resource type of S3 buckets in AWS Backup.
pub const S3: &str = "S3";

/// The name in the ARN of a bucket, `arn:aws:s3:::orders`.
pub fn bucket_name(arn: &Arn) -> Option<&str> {
    let name = arn.resource();
    (arn.service() == "s3" && !name.contains(['/', ':'])).then_some(name)
}

state! {
    /// Who owns the objects of a bucket, and with that whether they can have access control lists.
    ///
    /// See <https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>.
    ObjectOwnership {
        BucketOwnerEnforced = "BucketOwnerEnforced",
        BucketOwnerPreferred = "BucketOwnerPreferred",
        ObjectWriter = "ObjectWriter",
    }
}

impl ObjectOwnership {
    /// Whether objects can have access control lists.
    pub fn admits_acls(&self) -> bool {
        matches!(
            self,
            ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter
        )
    }
}

/// How a bucket encrypts objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketEncryption {
    /// With keys of S3.
    S3,
    /// With a KMS key; `None` for the one that AWS manages for S3.
    Kms(Option<String>),
}

/// What a completed restore job of a bucket restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// Every object that was asked for.
    Everything,
    /// Nothing, because the recovery point contains no such object.
    NoObjects,
    /// Objects are missing, or it is unknown whether some are.
    Partial,
}

impl Restored {
    /// According to the message of the completed job, which is the only sign of missing objects. A message that is not
    /// known counts as one.
    ///
    /// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-s3.html#s3-restore-messages>.
    pub fn of(message: Option<&str>) -> Restored {
        match message.map(str::trim).unwrap_or_default() {
            "" => Restored::Everything,
            message if message.starts_with("There are no objects that match") => {
                Restored::NoObjects
            }
            _ => Restored::Partial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_name_from_the_arn() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(bucket_name(&Arn::parse(text).unwrap()), expected, "{text}");
        };
        check("arn:aws:s3:::orders", Some("orders"));
        check("arn:aws-cn:s3:::orders.eu", Some("orders.eu"));
        check("arn:aws:s3:::orders/key", None);
        check("arn:aws:s3:us-west-2:1:accesspoint/orders", None);
        check("arn:aws:s3express:us-west-2:1:bucket/orders", None);
        check("arn:aws:ec2:us-west-2:1:volume/vol-1", None);
    }

    #[test]
    fn a_message_that_is_not_known_counts_as_missing_objects() {
        let point = "arn:aws:backup:us-west-2:1:recovery-point:orders-1";
        let check = |message: Option<&str>, expected: Restored| {
            assert_eq!(Restored::of(message), expected, "{message:?}");
        };
        check(None, Restored::Everything);
        check(Some("  "), Restored::Everything);
        check(
            Some(&format!(
                "One or more objects failed to be restored from {point} to orders. To get notified of these failures, enable SNS event notifications."
            )),
            Restored::Partial,
        );
        check(
            Some(&format!(
                "There are no objects that match the restore request for {point}."
            )),
            Restored::NoObjects,
        );
        check(Some("Completed with warnings"), Restored::Partial);
    }

    #[test]
    fn only_known_kinds_of_ownership_admit_acls() {
        for (word, admits) in [
            ("BucketOwnerEnforced", false),
            ("BucketOwnerPreferred", true),
            ("ObjectWriter", true),
            ("SomethingNew", false),
        ] {
            assert_eq!(ObjectOwnership::from(word).admits_acls(), admits, "{word}");
        }
    }
}
