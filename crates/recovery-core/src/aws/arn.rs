//! Names of AWS resources, parsed once, when they enter.

use std::fmt;

use crate::error::{Error, Fault};

/// An Amazon Resource Name, `arn:partition:service:region:account:resource`.
///
/// Region and account may be empty (`arn:aws:ec2:us-west-2::snapshot/snap-…`). See
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arn {
    text: String,
    /// Ends of partition, service, Region and account in `text`.
    ends: [usize; 4],
}

impl Arn {
    /// Parses an ARN of any partition.
    ///
    /// # Errors
    /// [`Error::Permanent`] if `text` does not begin with `arn`, does not have six parts separated by colons, or has
    /// an empty partition, service or resource.
    pub fn parse(text: &str) -> Result<Arn, Error> {
        let malformed = |what: &str| {
            Error::Permanent(Fault::new(
                "parse ARN",
                crate::text::shown(text),
                what,
                "Pass an ARN of the form arn:partition:service:region:account:resource.",
            ))
        };
        let mut ends = [0; 4];
        let mut start = match text.strip_prefix("arn:") {
            Some(_) => "arn:".len(),
            None => return Err(malformed("it does not begin with arn:")),
        };
        for end in &mut ends {
            *end = start
                + text[start..]
                    .find(':')
                    .ok_or_else(|| malformed("it has fewer than six parts"))?;
            start = *end + 1;
        }
        if text.contains(char::is_whitespace) || crate::text::one_line(text) != text {
            return Err(malformed("it contains white space or invisible characters"));
        }
        let arn = Arn {
            text: text.to_owned(),
            ends,
        };
        if arn.partition().is_empty() || arn.service().is_empty() || arn.resource().is_empty() {
            return Err(malformed("partition, service or resource is empty"));
        }
        Ok(arn)
    }

    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &str {
        &self.text["arn:".len()..self.ends[0]]
    }

    /// The service's namespace: `ec2`, `backup`, `rds`, …
    pub fn service(&self) -> &str {
        &self.text[self.ends[0] + 1..self.ends[1]]
    }

    /// The Region; may be empty.
    pub fn region(&self) -> &str {
        &self.text[self.ends[1] + 1..self.ends[2]]
    }

    /// The account, or nothing.
    pub fn account(&self) -> &str {
        &self.text[self.ends[2] + 1..self.ends[3]]
    }

    /// Everything behind the fifth colon: `volume/vol-…`, `snapshot:awsbackup:job-…`.
    pub fn resource(&self) -> &str {
        &self.text[self.ends[3] + 1..]
    }

    /// The id of a resource `kind/id`.
    pub fn resource_id(&self, kind: &str) -> Option<&str> {
        self.resource()
            .strip_prefix(kind)?
            .strip_prefix('/')
            .filter(|id| !id.is_empty())
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            pub fn new(name: impl Into<String>) -> $name {
                $name(name.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// Id of an EBS volume, `vol-…`.
    VolumeId;
    /// Id of an EC2 instance, `i-…`.
    InstanceId;
    /// Identifier of a DB instance.
    DbInstanceId;
    /// Identifier of a DB cluster.
    DbClusterId;
    /// Id of an AWS Backup restore job.
    RestoreJobId;
    /// Id of an OpsItem, `oi-…`.
    OpsItemId;
}

/// The account and the recovery Region of this deployment. It acts on nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub account: String,
    pub region: String,
}

impl Scope {
    /// Whether `arn` is in this account and Region. An empty part of the ARN matches.
    pub fn owns(&self, arn: &Arn) -> bool {
        let same = |part: &str, ours: &str| part.is_empty() || part == ours;
        same(arn.account(), &self.account) && same(arn.region(), &self.region)
    }
}

/// The ARN of a recovery point. Its form, and the service that has its tags, depend on the resource type.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/access-control.html>.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecoveryPointArn(Arn);

/// The service that has the tags of a recovery point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagHome<'a> {
    /// EC2, for an EBS snapshot or an AMI: `ec2:DescribeTags` by this id.
    Ec2(&'a str),
    /// AWS Backup: `backup:ListTags` by the ARN.
    Backup,
    /// RDS, for a snapshot of an instance or a cluster, of Aurora, DocumentDB and Neptune too:
    /// `rds:ListTagsForResource` by the ARN.
    Rds,
    /// FSx, for a backup of a file system or of a volume of ONTAP: `fsx:ListTagsForResource` by the ARN.
    Fsx,
    /// Another service, which is not called yet.
    Elsewhere,
}

impl RecoveryPointArn {
    pub fn new(arn: Arn) -> RecoveryPointArn {
        RecoveryPointArn(arn)
    }

    /// Parses the ARN of a recovery point.
    ///
    /// # Errors
    /// As [`Arn::parse`].
    pub fn parse(text: &str) -> Result<RecoveryPointArn, Error> {
        Arn::parse(text).map(RecoveryPointArn)
    }

    /// The service that has the tags, according to the form of the ARN.
    pub fn tag_home(&self) -> TagHome<'_> {
        match self.0.service() {
            "ec2" => match self
                .0
                .resource_id("snapshot")
                .or_else(|| self.0.resource_id("image"))
            {
                Some(id) => TagHome::Ec2(id),
                None => TagHome::Elsewhere,
            },
            "backup" => TagHome::Backup,
            "fsx" if self.0.resource_id("backup").is_some() => TagHome::Fsx,
            "rds" => match self.0.resource().split_once(':') {
                Some(("snapshot" | "cluster-snapshot", id)) if !id.is_empty() => TagHome::Rds,
                _ => TagHome::Elsewhere,
            },
            _ => TagHome::Elsewhere,
        }
    }

    pub fn arn(&self) -> &Arn {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for RecoveryPointArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_an_arn_into_its_parts() {
        let check = |text: &str, parts: [&str; 5]| {
            let arn = Arn::parse(text).unwrap();
            assert_eq!(
                [
                    arn.partition(),
                    arn.service(),
                    arn.region(),
                    arn.account(),
                    arn.resource()
                ],
                parts,
                "{text}"
            );
            assert_eq!(arn.as_str(), text);
        };
        check(
            "arn:aws:ec2:us-west-2:111122223333:volume/vol-0a1",
            ["aws", "ec2", "us-west-2", "111122223333", "volume/vol-0a1"],
        );
        // Snapshots have no account in the ARNs of AWS Backup.
        check(
            "arn:aws:ec2:us-west-2::snapshot/snap-0a1",
            ["aws", "ec2", "us-west-2", "", "snapshot/snap-0a1"],
        );
        // The resource may contain colons.
        check(
            "arn:aws-cn:rds:cn-north-1:111122223333:snapshot:awsbackup:job-1",
            [
                "aws-cn",
                "rds",
                "cn-north-1",
                "111122223333",
                "snapshot:awsbackup:job-1",
            ],
        );
        check(
            "arn:aws-us-gov:s3:::bucket",
            ["aws-us-gov", "s3", "", "", "bucket"],
        );
    }

    #[test]
    fn rejects_invalid_arns() {
        for text in [
            "",
            "arn",
            "arn:",
            "arn:aws:ec2:us-west-2:1",
            "arn:aws:ec2:us-west-2:111122223333:",
            "arn:aws::us-west-2:1:x",
            "arn::ec2:us-west-2:1:x",
            "vol-0a1",
            "ARN:aws:ec2:us-west-2:1:volume/vol-1",
            "arn:aws:ec2:us-west-2:1:volume/vol 1",
            "arn:aws:ec2:us-west-2:1:volume/vol\n1",
            "arn:aws:ec2:us-west-2:1:volume/vol\u{200b}1",
        ] {
            let error = Arn::parse(text).unwrap_err();
            assert_eq!(error.error_type(), "Permanent", "{text:?}");
            assert!(error.to_string().contains("arn:partition"), "{error}");
        }
    }

    #[test]
    fn returns_a_resource_id_only_for_its_type() {
        let arn = Arn::parse("arn:aws:ec2:us-west-2:1:volume/vol-1").unwrap();
        assert_eq!(arn.resource_id("volume"), Some("vol-1"));
        assert_eq!(arn.resource_id("vol"), None);
        assert_eq!(arn.resource_id("instance"), None);
        let empty = Arn::parse("arn:aws:ec2:us-west-2:1:volume/").unwrap();
        assert_eq!(empty.resource_id("volume"), None);
    }

    #[test]
    fn derives_the_tag_service_from_the_arn() {
        let check = |text: &str, home: TagHome<'_>| {
            assert_eq!(
                RecoveryPointArn::parse(text).unwrap().tag_home(),
                home,
                "{text}"
            );
        };
        check(
            "arn:aws:ec2:us-west-2::snapshot/snap-1",
            TagHome::Ec2("snap-1"),
        );
        check("arn:aws:ec2:us-west-2::image/ami-1", TagHome::Ec2("ami-1"));
        check(
            "arn:aws:backup:us-west-2:1:recovery-point:1EB3B5E7",
            TagHome::Backup,
        );
        // The names of AWS Backup: of a backup and of a copy.
        for snapshot in [
            "snapshot:awsbackup:job-1",
            "snapshot:awsbackup:copyjob-1",
            "cluster-snapshot:awsbackup:job-1",
            "cluster-snapshot:awsbackup:copyjob-1",
        ] {
            check(&format!("arn:aws:rds:us-west-2:1:{snapshot}"), TagHome::Rds);
        }
        for other in ["snapshot:", "db:shop", "cluster:shop", "snapshot"] {
            check(
                &format!("arn:aws:rds:us-west-2:1:{other}"),
                TagHome::Elsewhere,
            );
        }
        check("arn:aws:fsx:us-west-2:1:backup/backup-1", TagHome::Fsx);
        check("arn:aws:fsx:us-west-2:1:snapshot/1", TagHome::Elsewhere);
        check("arn:aws:ec2:us-west-2:1:volume/vol-1", TagHome::Elsewhere);
    }

    #[test]
    fn scope_owns_resources_of_its_account_and_region() {
        let scope = Scope {
            account: "1".into(),
            region: "us-west-2".into(),
        };
        let owns = |text: &str| scope.owns(&Arn::parse(text).unwrap());
        assert!(owns("arn:aws:ec2:us-west-2:1:volume/vol-1"));
        assert!(owns("arn:aws:ec2:us-west-2::snapshot/snap-1"));
        assert!(!owns("arn:aws:ec2:us-east-1:1:volume/vol-1"));
        assert!(!owns("arn:aws:ec2:us-west-2:2:volume/vol-1"));
    }
}
