//! Publishes the addresses of a database.

use crate::aws::backup::Restore;
use crate::error::Error;
use crate::integrate::database::decide::Observed;
use crate::integrate::database::kind::REPLACED;
use crate::integrate::publish::Publication;
use crate::integrate::record::new_item;
use crate::integrate::run_publish::publish;
use crate::ops_item::run::find_or_create;
use crate::ops_item::{OpsItemChange, unless_at_quota};
use crate::ports::{OpsItems, Parameters, PublishingPorts};
use crate::text::shown;

/// The addresses, by the last part of the names of their parameters.
fn addresses(seen: &Observed) -> Vec<(&'static str, String)> {
    let (id, arn, engine, reader) = match seen {
        Observed::Instance(it) => (it.id.as_str(), &it.arn, &it.engine, None),
        Observed::Cluster(it, _) => (
            it.id.as_str(),
            &it.arn,
            &it.engine,
            it.reader_endpoint.as_ref(),
        ),
    };
    let endpoint = seen.endpoint().into_iter();
    endpoint
        .flat_map(|(host, port)| [("endpoint", host.clone()), ("port", port.to_string())])
        .chain(reader.map(|reader| ("reader-endpoint", reader.clone())))
        .chain([
            ("arn", arn.clone()),
            ("id", id.to_owned()),
            ("engine", engine.clone()),
        ])
        .collect()
}

/// Publishes the addresses. A parameter that has its value is not written. What another value is replaced is
/// recorded in the OpsItem of the job first, so that no crash hides it. Returns whether a parameter was written.
///
/// # Errors
/// Those of the ports.
pub(super) async fn publish_addresses(
    ports: &impl PublishingPorts,
    restore: &Restore,
    publication: &Publication,
    seen: &Observed,
) -> Result<bool, Error> {
    let values = addresses(seen);
    let names: Vec<String> = values
        .iter()
        .map(|(leaf, _)| publication.name(leaf))
        .collect();
    let existing = ports.parameters().get(&names).await?;
    let is_current =
        |(name, (_, value)): (&String, &(&str, String))| existing.get(name) == Some(value);
    if names.iter().zip(&values).all(is_current) {
        return Ok(false);
    }
    let replaced: Vec<String> = names
        .iter()
        .zip(&values)
        .filter_map(|(name, (_, value))| {
            let before = existing.get(name).filter(|before| *before != value)?;
            Some(format!("{name} was {}", shown(before)))
        })
        .collect();
    if !replaced.is_empty() {
        record_replaced(ports.ops_items(), restore, &replaced).await?;
    }
    publish(ports.parameters(), publication, &values).await?;
    Ok(true)
}

/// Adds the parameters to those that the item records.
async fn record_replaced(
    items: &impl OpsItems,
    restore: &Restore,
    replaced: &[String],
) -> Result<(), Error> {
    let Some(item) = unless_at_quota(find_or_create(items, &new_item(restore)).await)? else {
        return Ok(());
    };
    let known = item.data.get(REPLACED).map_or("", String::as_str);
    let mut all: Vec<&str> = known.split("; ").filter(|it| !it.is_empty()).collect();
    for entry in replaced {
        if !all.contains(&entry.as_str()) {
            all.push(entry);
        }
    }
    let all = all.join("; ");
    if all == known {
        return Ok(());
    }
    let change = OpsItemChange {
        data: [(REPLACED, all)].into(),
        ..OpsItemChange::default()
    };
    items.update(&item.id, &change).await
}
