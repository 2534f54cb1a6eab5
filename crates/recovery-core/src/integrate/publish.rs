//! Where the addresses of a restored resource are published: parameters of Systems Manager.

use crate::ops_item::OpsItem;
use crate::tags::{PUBLISH, Tags, UnusableTag, value};
use crate::text::code;

/// Operational data: the parameters that had another value, with that value.
pub(crate) const REPLACED: &str = "recovery:replaced-parameters";

/// The most parts of a prefix. A name has at most 15 levels, of which a drill and the published value need
/// three (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>).
const PARTS: usize = 12;
/// The longest prefix. A name has at most 1,011 characters together with the ARN in front of it.
const LENGTH: usize = 700;

/// Where the addresses of one restored resource are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The path of its parameters, without a slash at the end.
    path: String,
    /// The drill that the parameters belong to.
    drill: Option<String>,
}

impl Publication {
    /// According to the tag [`PUBLISH`]; `None` without the tag. `allowed` is the path, with a slash at its
    /// end, below which this deployment may publish. A drill publishes below `<prefix>/drill/<drill>`.
    ///
    /// # Errors
    /// An [`UnusableTag`] if the value is not a path below `allowed`.
    pub(crate) fn of(
        tags: &Tags,
        allowed: &str,
        drill: Option<&str>,
    ) -> Result<Option<Publication>, UnusableTag> {
        let Some(tagged) = value(tags, PUBLISH) else {
            return Ok(None);
        };
        let prefix = tagged.trim_end_matches('/');
        let Some(below) = prefix.strip_prefix(allowed).filter(|_| is_path(prefix)) else {
            return Err(UnusableTag::new(
                PUBLISH,
                tagged,
                "a path below the parameter PublishPath of the stack of Rapid Recovery, of at most 12 parts of letters, digits and _ . -",
            ));
        };
        // Otherwise a workload could publish what a drill publishes.
        if below.split('/').any(|part| part == "drill") {
            return Err(UnusableTag::new(
                PUBLISH,
                tagged,
                "a path without the part drill",
            ));
        }
        let path = match drill {
            None => prefix.to_owned(),
            Some(drill) => format!("{prefix}/drill/{drill}"),
        };
        Ok(Some(Publication {
            path,
            drill: drill.map(str::to_owned),
        }))
    }

    /// The name of the parameter for a value such as `endpoint`.
    pub(crate) fn name(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.path)
    }

    /// The path of the parameters.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The tags of new parameters.
    pub(crate) fn tags(&self) -> Vec<(&'static str, String)> {
        self.drill
            .iter()
            .map(|drill| (crate::tags::DRILL, drill.clone()))
            .collect()
    }
}

/// The parameters that the item records as replaced.
pub(crate) fn replaced_in(item: &OpsItem) -> Vec<&str> {
    let recorded = item.data.get(REPLACED).map_or("", String::as_str);
    recorded.split("; ").filter(|it| !it.is_empty()).collect()
}

/// Which parameters were replaced, as a sentence: those that the item of the job records, or those of this run if
/// there is no item.
pub(crate) fn replaced_note(item: Option<&OpsItem>, by_this_run: &[String]) -> Option<String> {
    let replaced = match item {
        Some(item) => replaced_in(item),
        None => by_this_run.iter().map(String::as_str).collect(),
    };
    let replaced: Vec<String> = replaced.into_iter().map(code).collect();
    (!replaced.is_empty()).then(|| format!("Replaced parameters: {}.", replaced.join(", ")))
}

/// The path in the tag, whatever this deployment allows; `None` if nothing is published below it anywhere.
pub(crate) fn path(tags: &Tags) -> Option<String> {
    let publication = Publication::of(tags, "/", None).ok()??;
    Some(publication.path)
}

fn is_path(path: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    path.len() <= LENGTH
        && path.strip_prefix('/').is_some_and(|rest| {
            let parts: Vec<&str> = rest.split('/').collect();
            parts.len() <= PARTS && parts.iter().all(|part| is_part(part))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(tagged: &str, drill: Option<&str>) -> Result<Option<String>, &'static str> {
        let tags = Tags::from([(PUBLISH.to_owned(), tagged.to_owned())]);
        Publication::of(&tags, "/recovery/", drill)
            .map(|publication| publication.map(|it| it.name("endpoint")))
            .map_err(|unusable| unusable.tag)
    }

    #[test]
    fn publishes_below_the_allowed_path_and_drills_below_their_own() {
        let named = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(path("", None), Ok(None));
        assert_eq!(
            path("/recovery/shop/db", None),
            named("/recovery/shop/db/endpoint")
        );
        assert_eq!(
            path(" /recovery/shop/ ", None),
            named("/recovery/shop/endpoint")
        );
        assert_eq!(
            path("/recovery/shop", Some("d-1")),
            named("/recovery/shop/drill/d-1/endpoint")
        );
        for unusable in [
            "/recovery",
            "/recovery/",
            "recovery/shop",
            "/shop/db",
            "/recovery//db",
            "/recovery/a b",
            "/recovery/shop/drill/d-1",
            "/recovery/../shop?",
            "/recovery/1/2/3/4/5/6/7/8/9/10/11/12",
        ] {
            assert_eq!(path(unusable, None), Err(PUBLISH), "{unusable:?}");
        }
    }
}
