//! Why a restored bucket is not published, or is incomplete, with the remedy.

use std::fmt;

use crate::integrate::refusal::Refusal;
use crate::reference::ReferenceRefusal;
use crate::tags::{LOGICAL_ID, PREFIXES, TagRefusal};
use crate::text::code;

/// Why a restored bucket is not complete, or not the workload's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketRefusal {
    /// A tag that it needs is missing or cannot be used.
    Tags(TagRefusal),
    /// The reference does not lead to a bucket.
    Reference(ReferenceRefusal),
    /// It was deleted after AWS Backup had restored into it. One that is created again does not have its objects.
    Gone { bucket: String },
    /// The tags name another bucket: a person may have restored a copy for another purpose, and the application must
    /// not use it.
    Other { bucket: String, wanted: String },
    /// The recovery point contains no object that the tag `recovery:prefixes` names.
    NothingRestored {
        bucket: String,
        prefixes: Vec<String>,
        /// The message of AWS Backup.
        message: String,
    },
    /// Objects are missing, or it is unknown whether some are.
    Partial {
        bucket: String,
        /// The message of AWS Backup.
        message: String,
        /// The path below which it is published nevertheless.
        published: Option<String>,
    },
}

const AGAIN: &str = "Then run the integration of this restore job again.";

impl Refusal for BucketRefusal {
    fn reason(&self) -> &'static str {
        match self {
            BucketRefusal::Tags(refusal) => refusal.reason(),
            BucketRefusal::Reference(refusal) => refusal.reason(),
            BucketRefusal::Gone { .. } => "bucket-gone",
            BucketRefusal::Other { .. } => "bucket-name",
            BucketRefusal::NothingRestored { .. } => "nothing-restored",
            BucketRefusal::Partial { .. } => "restore-partial",
        }
    }

    fn remedy(&self) -> String {
        match self {
            BucketRefusal::Tags(refusal) => refusal.remedy("Check the bucket"),
            BucketRefusal::Reference(refusal) => refusal.remedy(),
            BucketRefusal::Gone { .. } => {
                "Find out who deleted the bucket (AWS CloudTrail). Let the stack create it again, and start a recovery with another name, which restores it again.".to_owned()
            }
            BucketRefusal::Other { bucket, .. } => format!(
                "If the bucket replaces the one of the workload, set the tag {LOGICAL_ID} of the recovery point to {} (`aws backup tag-resource`). {AGAIN} If it is a copy for another purpose, no action needed.",
                code(&format!("name:{bucket}"))
            ),
            BucketRefusal::NothingRestored { .. } => format!(
                "Compare the tag {PREFIXES} with the names of the objects in the protected bucket (`aws s3api list-objects-v2 --bucket <protected bucket> --prefix <prefix>`): upper and lower case count, a folder ends with `/`, and no name begins with `/`. Correct the tag of the recovery point (`aws backup tag-resource`), and of the protected bucket for later recovery points. Then start a recovery with another name: a redrive keeps the plan with these prefixes. When a restore job is complete, resolve this OpsItem."
            ),
            BucketRefusal::Partial { .. } => {
                "Fix the cause: often a KMS key that the restore role may not use, or a setting of the bucket that rejects objects, such as its policy. Then restore the recovery point into the same bucket again: AWS Backup adds what is missing and leaves out what is there. In a recovery, redrive the execution, which does this. When a restore job is complete, resolve this OpsItem.".to_owned()
            }
        }
    }
}

impl fmt::Display for BucketRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BucketRefusal::Tags(refusal) => refusal.fmt(f),
            BucketRefusal::Reference(refusal) => refusal.fmt(f),
            BucketRefusal::Gone { bucket } => write!(
                f,
                "the bucket {} was deleted after AWS Backup restored into it, and its objects with it",
                code(bucket)
            ),
            BucketRefusal::Other { bucket, wanted } => write!(
                f,
                "the objects were restored into {}, but the tags name the bucket {}",
                code(bucket),
                code(wanted)
            ),
            BucketRefusal::NothingRestored {
                bucket,
                prefixes,
                message,
            } => write!(
                f,
                "nothing was restored into {}: the recovery point contains no object that {PREFIXES} {} names, as AWS Backup says: {}",
                code(bucket),
                code(&prefixes.join(" ")),
                code(message.trim_end_matches('.'))
            ),
            BucketRefusal::Partial {
                bucket,
                message,
                published,
            } => {
                write!(
                    f,
                    "objects are missing in {}, as AWS Backup says: {}",
                    code(bucket),
                    code(message.trim_end_matches('.'))
                )?;
                match published {
                    Some(path) => write!(f, ". Its name is published below {}", code(path)),
                    None => Ok(()),
                }
            }
        }
    }
}
