//! Lists of resources in pages (RFC 7644 §3.4.2.4), and the versions of single resources (§3.14).

use serde_json::{Map, Value, json};

use crate::error::ScimError;

/// The schema of a list.
pub const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The most resources on one page, which is also the default.
pub const PAGE_MAX: usize = 200;

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The number of the first resource; counts from 1.
    pub start: usize,
    /// How many resources are on the page, 0 to [`PAGE_MAX`]. 0 asks only for the total.
    pub count: usize,
}

impl Page {
    /// Parses `startIndex` and `count`. A `startIndex` below 1 counts as 1 and a `count` below 0 as 0, as the
    /// specification says.
    pub fn parse(start: Option<&str>, count: Option<&str>) -> Result<Self, ScimError> {
        let number = |text: Option<&str>, usual: i64| match text.filter(|text| !text.is_empty()) {
            None => Ok(usual),
            Some(text) => {
                text.parse::<i64>().map_err(|_| ScimError::InvalidValue("`startIndex` and `count` are numbers"))
            }
        };
        let start = number(start, 1)?.max(1);
        let count = number(count, i64::try_from(PAGE_MAX).unwrap_or(i64::MAX))?.max(0);
        Ok(Self {
            start: usize::try_from(start).unwrap_or(usize::MAX),
            count: usize::try_from(count).unwrap_or(usize::MAX).min(PAGE_MAX),
        })
    }

    /// Returns the items that are on this page.
    pub fn of<T>(self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        all.into_iter().skip(self.start - 1).take(self.count).collect()
    }

    /// Returns the body of the response. `total`: how many resources there are on all pages.
    pub fn response(self, total: usize, resources: Vec<Map<String, Value>>) -> Value {
        json!({
            "schemas": [SCHEMA],
            "totalResults": total,
            "startIndex": self.start,
            "itemsPerPage": resources.len(),
            "Resources": resources,
        })
    }
}

/// Returns the ETag of a version. It is weak, because two responses with one version may have different attributes.
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// Checks whether `If-Match` allows a change of a resource of this version (RFC 9110 §13.1.1, compared weakly as RFC
/// 7644 §3.14 says). Without the header, it does.
pub fn may_change(if_match: Option<&str>, version: i64) -> Result<(), ScimError> {
    let Some(header) = if_match else { return Ok(()) };
    if names(header, version) { Ok(()) } else { Err(ScimError::PreconditionFailed) }
}

/// Returns whether the client has this version already (RFC 9110 §13.1.2); the response is then 304.
pub fn is_known(if_none_match: Option<&str>, version: i64) -> bool {
    if_none_match.is_some_and(|header| names(header, version))
}

fn names(header: &str, version: i64) -> bool {
    let own = etag(version);
    let bare = own.trim_start_matches("W/");
    header.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == bare)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{PAGE_MAX, Page, etag, is_known, may_change};
    use crate::error::ScimError;

    #[test]
    fn a_page_begins_at_one_and_has_a_bound() {
        let page = |start, count| Page::parse(start, count).unwrap();
        assert_eq!(page(None, None), Page { start: 1, count: PAGE_MAX });
        assert_eq!(page(Some("0"), Some("-3")), Page { start: 1, count: 0 });
        assert_eq!(page(Some("-5"), Some("100000")), Page { start: 1, count: PAGE_MAX });
        assert_eq!(page(Some("3"), Some("2")).of(1..=10), [3, 4]);
        assert!(page(Some("11"), Some("2")).of(1..=10).is_empty());
        assert!(page(Some("9223372036854775807"), None).of(1..=10).is_empty());
        for bad in ["x", "1.5", "99999999999999999999"] {
            assert!(Page::parse(Some(bad), None).is_err(), "{bad}");
        }
        let body = page(Some("3"), Some("1")).response(10, vec![json!({ "id": "x" }).as_object().cloned().unwrap()]);
        assert_eq!(
            (&body["totalResults"], &body["startIndex"], &body["itemsPerPage"]),
            (&json!(10), &json!(3), &json!(1))
        );
        let none = page(None, None).response(0, Vec::new());
        assert_eq!(none["Resources"], json!([]));
    }

    #[test]
    fn a_change_is_held_to_the_version_that_was_read() {
        assert_eq!(etag(7), "W/\"7\"");
        for good in [None, Some("W/\"7\""), Some("\"7\""), Some("*"), Some("W/\"1\", W/\"7\"")] {
            assert_eq!(may_change(good, 7), Ok(()), "{good:?}");
        }
        for bad in ["W/\"8\"", "7", "", "W/\"77\""] {
            assert_eq!(may_change(Some(bad), 7), Err(ScimError::PreconditionFailed), "{bad}");
        }
        assert!(is_known(Some("W/\"7\""), 7) && !is_known(None, 7) && !is_known(Some("W/\"6\""), 7));
    }
}
