//! The expectations of buckets.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::observations::{Item, Played, RestoredBucket};
use crate::workload::OBJECTS;

/// What was restored into the buckets, and what was reported.
pub(crate) fn buckets_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let assets = &played.assets;
    let (is_complete, found) = is_complete(assets);
    expect(
        "the bucket of the stack has each object once, in its newest version",
        is_complete,
        found,
    );
    expect(
        "the name of the bucket is published",
        is_published(assets),
        format!("{:?}", assets.published),
    );
    let items = played.recovery.said("/items").as_array();
    let reported = items
        .into_iter()
        .flatten()
        .find(|item| item["jobId"] == assets.job.as_str())
        .unwrap_or(&Value::Null);
    let page = played.recovery.page.as_deref().unwrap_or_default();
    expect(
        "the report and its page name the bucket",
        reported["integrated"] == true
            && reported["restoredArn"] == format!("arn:aws:s3:::{}", assets.name)
            && page.contains(&assets.name),
        reported.to_string(),
    );
    let archive = &played.archive;
    let items = |job: &str| -> Vec<&Item> {
        let key = format!("restore-job/{job}");
        played.items.iter().filter(|item| item.key == key).collect()
    };
    let (first, second) = (items(&archive.first_job), items(&archive.restored.job));
    expect(
        "a restore that leaves an object out is reported as partial: its OpsItem is open and names the reason",
        archive.first_objects.len() == OBJECTS.len() - 1
            && first.iter().any(|item| item.status == "Open")
            && first
                .iter()
                .all(|item| item.title.contains("restore-partial")),
        format!("{:?}; {first:?}", archive.first_objects),
    );
    let (is_complete, found) = self::is_complete(&archive.restored);
    expect(
        "a second restore adds the missing object, and leaves the others as they are",
        is_complete && is_published(&archive.restored),
        found,
    );
    expect(
        "the second restore of the bucket has a resolved OpsItem",
        !second.is_empty() && second.iter().all(|item| item.status == "Resolved"),
        format!("{second:?}"),
    );
}

/// What a drill made of the bucket.
pub(crate) fn drilled_buckets_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let drill = &played.drill;
    expect(
        "the clean-up deletes no objects: the stack of the drill is deleted when its bucket is emptied by hand",
        drill.first_clean_up == "FAILED" && drill.versions_emptied == OBJECTS.len(),
        format!(
            "{}, then {} version(s) deleted, then {}",
            drill.first_clean_up, drill.versions_emptied, drill.clean_up
        ),
    );
}

fn is_complete(restored: &RestoredBucket) -> (bool, String) {
    let expected: BTreeMap<String, (String, usize)> = OBJECTS
        .map(|(key, content)| (key.to_owned(), (content.to_owned(), 1)))
        .into();
    (
        restored.objects == expected,
        format!("{}: {:?}", restored.name, restored.objects),
    )
}

fn is_published(restored: &RestoredBucket) -> bool {
    let arn = format!("arn:aws:s3:::{}", restored.name);
    let expected = [("arn", &arn), ("name", &restored.name)];
    let published = restored.published.iter();
    published
        .map(|(leaf, value)| (leaf.as_str(), value))
        .eq(expected)
}
