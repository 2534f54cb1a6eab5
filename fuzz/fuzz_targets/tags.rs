//! Tags yield a target that is safe for CloudFormation, EC2 and a shell, or a refusal that names the
//! tag. Optional tags never cause a refusal, and other tags change nothing. Device names are valid for
//! EC2.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use fuzz::assert_visible;
use libfuzzer_sys::fuzz_target;
use recovery_core::aws::ec2::DeviceName;
use recovery_core::reference::Reference;
use recovery_core::tags::{DEVICE, LOGICAL_ID, MOUNT, STACK, integration_target};

const KEYS: [&str; 7] = [
    STACK,
    LOGICAL_ID,
    DEVICE,
    MOUNT,
    "aws:cloudformation:stack-name",
    "aws:cloudformation:logical-id",
    "Name",
];

/// Every valid device name of a data volume.
static DEVICES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut names = BTreeSet::new();
    let one = ('b'..='z').map(String::from);
    let two =
        ('a'..='d').flat_map(|first| ('a'..='z').map(move |second| format!("{first}{second}")));
    names.extend(one.clone().map(|letter| format!("/dev/sd{letter}")));
    for letters in one.chain(two) {
        names.extend([format!("/dev/xvd{letters}"), format!("xvd{letters}")]);
    }
    names
});

fn tags(input: &mut Unstructured<'_>) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for key in KEYS {
        let value = match input.int_in_range(0..=9)? {
            0..=1 => continue,
            2..=4 => input.arbitrary::<&str>()?.to_owned(),
            5 => format!(" {}\n", input.arbitrary::<&str>()?),
            6 => format!("/{}", input.arbitrary::<&str>()?),
            7 => format!("/dev/{}", input.arbitrary::<&str>()?),
            8 => format!("/dev/xvd{}", input.arbitrary::<&str>()?),
            _ => (*input.choose(&["shop", "Server", "/dev/sdf", "/srv/data"])?).to_owned(),
        };
        tags.insert(key.to_owned(), value);
    }
    Ok(tags)
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(tags) = tags(&mut Unstructured::new(bytes)) else {
        return;
    };
    let value = |key: &str| tags.get(key).map(|value| value.trim()).unwrap_or_default();
    for text in tags.values() {
        let name = DeviceName::parse(text);
        assert_eq!(name.is_some(), DEVICES.contains(text), "{text:?}");
        assert!(name.is_none_or(|name| name.as_str() == text));
    }
    let read = integration_target(&tags);
    let mut others = tags.clone();
    others.remove("Name");
    others.insert("Owner".to_owned(), "x".repeat(256));
    assert_eq!(integration_target(&others), read);
    match read {
        Ok(Some(target)) => {
            let source = if target.assumed {
                (KEYS[4], KEYS[5])
            } else {
                (STACK, LOGICAL_ID)
            };
            let stack = target.stack.as_deref().unwrap_or_default();
            let written = target.logical_id.to_string();
            assert_eq!(
                (stack, written.as_str()),
                (value(source.0), value(source.1))
            );
            assert!(!target.assumed || (value(STACK).is_empty() && value(LOGICAL_ID).is_empty()));
            assert!(target.stack.is_some() || !target.logical_id.needs_stack());
            assert!(
                stack.is_empty()
                    || stack.len() <= 128
                        && stack.starts_with(|c: char| c.is_ascii_alphabetic())
                        && stack.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            );
            // It is read as it was written.
            assert_eq!(Reference::parse(&written), Some(target.logical_id.clone()));
            let device = target.device.as_ref().map_or("", DeviceName::as_str);
            let mount = target.mount.unwrap_or_default();
            // Each is used or reported as unusable.
            for (key, used) in [(DEVICE, device), (MOUNT, &*mount)] {
                let unusable = target.unusable_tags.iter().find(|it| it.tag == key);
                match unusable {
                    None if key == MOUNT => assert_eq!(used, value(key).trim_end_matches('/')),
                    None => assert_eq!(used, value(key)),
                    Some(unusable) => {
                        assert!(used.is_empty() && !value(key).is_empty());
                        assert_visible(&unusable.to_string());
                        assert!(unusable.remedy().ends_with('.'));
                    }
                }
            }
            if !mount.is_empty() {
                // `/srv/data`, or a drive of Windows with or without a folder.
                let drive = mount.strip_prefix(|c: char| c.is_ascii_uppercase());
                let path = drive.map_or(&*mount, |rest| rest.strip_prefix(':').expect("a drive"));
                if drive.is_none() || !path.is_empty() {
                    let folder = path.strip_prefix('/').expect("it begins at the root");
                    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.@+=".contains(c);
                    assert!(folder.chars().all(plain), "{mount:?}");
                    let mut parts = folder.split('/');
                    assert!(
                        parts.all(|part| !matches!(part, "" | "." | "..")),
                        "{mount:?}"
                    );
                }
            }
        }
        Ok(None) => {
            assert!(value(STACK).is_empty() && value(LOGICAL_ID).is_empty());
            assert!(value(KEYS[4]).is_empty() || value(KEYS[5]).is_empty());
        }
        Err(refusal) => {
            let text = refusal.to_string();
            assert_visible(&text);
            assert!(text.len() < 700, "{} bytes", text.len());
            assert!(KEYS.iter().any(|key| text.contains(key)), "{text}");
            assert!(matches!(
                refusal.reason(),
                "tag-missing" | "tag-invalid" | "root-volume"
            ));
            assert!(refusal.remedy("Attach the volume").ends_with('.'));
        }
    }
});
