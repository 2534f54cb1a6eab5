//! An ARN keeps its text and splits it into six parts, or parsing returns an error that shows the input.
#![no_main]

use fuzz::assert_error;
use libfuzzer_sys::fuzz_target;
use recovery_core::aws::arn::{Arn, RecoveryPointArn, Scope, TagHome};
use recovery_core::text::one_line;

fuzz_target!(|text: &str| {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    // White space or invisible characters.
    let separated = text.contains(char::is_whitespace) || one_line(text) != text;
    match Arn::parse(text) {
        Ok(arn) => {
            let read = [
                "arn",
                arn.partition(),
                arn.service(),
                arn.region(),
                arn.account(),
                arn.resource(),
            ];
            assert_eq!(parts, read);
            assert_eq!(arn.as_str(), text);
            assert!(
                !separated && !read[1].is_empty() && !read[2].is_empty() && !read[5].is_empty()
            );
            for kind in ["volume", "snapshot", "image"] {
                if let Some(id) = arn.resource_id(kind) {
                    assert!(!id.is_empty());
                    assert_eq!(format!("{kind}/{id}"), arn.resource());
                }
            }
            let scope = Scope {
                account: "111122223333".to_owned(),
                region: "us-west-2".to_owned(),
            };
            let elsewhere = !matches!(arn.region(), "" | "us-west-2")
                || !matches!(arn.account(), "" | "111122223333");
            assert_eq!(scope.owns(&arn), !elsewhere);
            let point = RecoveryPointArn::parse(text).expect("it is an ARN");
            match point.tag_home() {
                TagHome::Ec2(id) => assert!(arn.service() == "ec2" && text.ends_with(id)),
                TagHome::Backup => assert_eq!(arn.service(), "backup"),
                TagHome::Fsx => assert_eq!(arn.service(), "fsx"),
                TagHome::Rds => assert_eq!(arn.service(), "rds"),
                TagHome::Elsewhere => assert_ne!(arn.service(), "backup"),
            }
        }
        Err(error) => {
            assert_error(&error);
            assert_eq!(error.error_type(), "Permanent");
            let whole = parts.len() == 6 && parts[0] == "arn" && !separated;
            assert!(
                !whole || [1, 2, 5].iter().any(|part| parts[*part].is_empty()),
                "refused: {text:?}"
            );
        }
    }
});
