//! What the mount script mounted in the guests of the local Region.

use serde_json::Value;

use crate::observations::Played;

/// The runs of the mount script that mounted this source.
pub(crate) fn mounts_of<'a>(played: &'a Played, source: &str) -> Vec<&'a Value> {
    let outcome = |run: &Value| {
        let result: Option<Value> = run["result"]
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        result.map_or(Value::Null, |result| result["outcome"].clone())
    };
    played
        .of_kind("guest")
        .filter(|run| run["source"] == source && outcome(run) == "mounted")
        .collect()
}

/// Where a volume or file system was mounted, and whether the mount script did it.
pub(crate) fn mounted_how(run: &Value) -> String {
    let text = |member: &str| run[member].as_str().unwrap_or_default();
    let how = match text("ran") {
        "script" if text("source").starts_with("vol-") => {
            "by the mount script, in a mount namespace".to_owned()
        }
        "script" => {
            "by the mount script, in a mount namespace; the file server is imitated".to_owned()
        }
        _ => format!("recorded run: {}", text("why")),
    };
    format!(
        "{} at {} in {} ({how})",
        text("source"),
        text("path"),
        text("instance")
    )
}
