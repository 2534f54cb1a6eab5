//! Names of AWS things, parsed once, at the door.

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
    /// Reads an ARN of any partition.
    ///
    /// # Errors
    /// [`Error::Permanent`] when `text` is not six parts separated by colons, begins with
    /// something other than `arn`, or has no service or resource.
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
            return Err(malformed("it contains white space or what cannot be seen"));
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

    /// The Region, or nothing.
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

    /// The id behind `kind/`, for resources named `kind/id`.
    pub fn resource_id(&self, kind: &str) -> Option<&str> {
        self.resource()
            .strip_prefix(kind)?
            .strip_prefix('/')
            .filter(|id| !id.is_empty())
    }

    /// The whole ARN.
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
            /// Takes the name as AWS gave it.
            pub fn new(name: impl Into<String>) -> $name {
                $name(name.into())
            }

            /// The name as AWS writes it.
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
    /// Id of an AWS Backup restore job.
    RestoreJobId;
    /// Id of an OpsItem, `oi-…`.
    OpsItemId;
}

/// Where this system runs: account and recovery Region. Nothing elsewhere is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The account id, as the template passes it.
    pub account: String,
    /// The recovery Region.
    pub region: String,
}

impl Scope {
    /// Whether `arn` lies in this account and Region. An ARN that leaves either open does.
    pub fn owns(&self, arn: &Arn) -> bool {
        let same = |part: &str, ours: &str| part.is_empty() || part == ours;
        same(arn.account(), &self.account) && same(arn.region(), &self.region)
    }
}

/// The ARN of an AWS Backup recovery point. Its form depends on the resource type, and with it
/// the service that holds its tags.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/access-control.html>.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecoveryPointArn(Arn);

/// Where the tags of a recovery point are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagHome<'a> {
    /// An EBS snapshot or an AMI: `ec2:DescribeTags` by this id.
    Ec2(&'a str),
    /// A recovery point that AWS Backup itself holds: `backup:ListTags` by the ARN.
    Backup,
    /// Another service's own tags, which no integration reads yet.
    Elsewhere,
}

impl RecoveryPointArn {
    /// Takes an ARN for that of a recovery point.
    pub fn new(arn: Arn) -> RecoveryPointArn {
        RecoveryPointArn(arn)
    }

    /// Reads a recovery point's ARN.
    ///
    /// # Errors
    /// As [`Arn::parse`].
    pub fn parse(text: &str) -> Result<RecoveryPointArn, Error> {
        Arn::parse(text).map(RecoveryPointArn)
    }

    /// Where this recovery point's tags are kept, by the ARN's form.
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
            _ => TagHome::Elsewhere,
        }
    }

    /// The ARN.
    pub fn arn(&self) -> &Arn {
        &self.0
    }

    /// The ARN as text.
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
        check(
            "arn:aws:rds:us-west-2:1:snapshot:awsbackup:job-1",
            TagHome::Elsewhere,
        );
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
