//! Edits of a message, which leave all other bytes unchanged.
//!
//! The bytes must have passed [`super::message::Message::read`]. The caller must read the result again before sending
//! it, and compare its call with the permitted one. On other bytes these functions are total, but their result is
//! meaningless.

use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;
use serde_json::value::RawValue;

use super::message::{Id, ListItem, Meta};
use super::method::ListKind;
use super::scan::{self, Member};

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
pub enum SpliceError {
    /// The bytes were not checked before.
    #[error("not a message that was read before")]
    Malformed,
    /// The value to replace does not exist.
    #[error("the message has no `{member}`")]
    Missing {
        /// From the top of the message.
        member: &'static str,
    },
    /// The new value cannot be written as JSON.
    #[error("the new value could not be written as JSON: {0}")]
    Write(#[from] serde_json::Error),
}

/// A checked text and the members of the object that is edited.
struct Place<'a> {
    text: &'a str,
    object: Range<usize>,
    members: Vec<Member<'a>>,
}

impl<'a> Place<'a> {
    fn top(bytes: &'a [u8]) -> Result<Self, SpliceError> {
        let text = std::str::from_utf8(bytes).map_err(|_| SpliceError::Malformed)?;
        Self::at(text, scan::root(text))
    }

    fn at(text: &'a str, object: Range<usize>) -> Result<Self, SpliceError> {
        let members = scan::members(text, object.clone()).ok_or(SpliceError::Malformed)?;
        Ok(Self { text, object, members })
    }

    fn find(&self, name: &str) -> Option<Range<usize>> {
        self.members.iter().find(|member| member.name == name).map(|member| member.value.clone())
    }

    /// The object that is the member `name`. `null` and absent are alike: none.
    fn inner(&self, name: &str) -> Result<Option<Self>, SpliceError> {
        match self.find(name) {
            Some(range) if self.text.get(range.clone()) == Some("null") => Ok(None),
            Some(range) => Self::at(self.text, range).map(Some),
            None => Ok(None),
        }
    }

    /// Replaces the value of a member, or adds the member at the end.
    fn with(&self, name: &str, value: &str) -> Result<String, SpliceError> {
        if let Some(range) = self.find(name) {
            return replaced(self.text, range, value);
        }
        let name = serde_json::to_string(name)?;
        match self.members.last() {
            Some(last) => {
                let end = last.value.end;
                replaced(self.text, end..end, &format!(",{name}:{value}"))
            }
            None => {
                let inside = self.object.start + 1;
                replaced(self.text, inside..inside, &format!("{name}:{value}"))
            }
        }
    }

    /// Keeps the members that `keep` names.
    fn retain(&self, keep: impl Fn(&str) -> bool) -> Result<String, SpliceError> {
        let parts: Vec<_> = self.members.iter().map(|member| (member.whole(), keep(&member.name))).collect();
        retained(self.text, self.object.clone(), &parts)
    }
}

/// Replaces the `id` of a request or an answer.
pub fn replace_id(bytes: &[u8], id: &Id) -> Result<Vec<u8>, SpliceError> {
    let top = Place::top(bytes)?;
    let range = top.find("id").ok_or(SpliceError::Missing { member: "id" })?;
    Ok(replaced(top.text, range, &serde_json::to_string(id)?)?.into_bytes())
}

/// Replaces `params._meta.progressToken` of a request.
pub fn replace_progress_token(bytes: &[u8], token: &Id) -> Result<Vec<u8>, SpliceError> {
    let missing = || SpliceError::Missing { member: "params._meta.progressToken" };
    let params = Place::top(bytes)?.inner("params")?.ok_or_else(missing)?;
    let meta = params.inner("_meta")?.ok_or_else(missing)?;
    let range = meta.find(Meta::PROGRESS_TOKEN).ok_or_else(missing)?;
    Ok(replaced(meta.text, range, &serde_json::to_string(token)?)?.into_bytes())
}

/// Sets a member of `params`, which is made when absent. For example `progressToken` or `requestId` of a
/// notification, or `requestState`.
pub fn set_param(bytes: &[u8], name: &str, value: &impl Serialize) -> Result<Vec<u8>, SpliceError> {
    set_in(bytes, "params", name, &serde_json::to_string(value)?)
}

/// Removes a member of `params`; nothing changes when it is absent.
pub fn remove_param(bytes: &[u8], name: &str) -> Result<Vec<u8>, SpliceError> {
    match Place::top(bytes)?.inner("params")? {
        Some(params) => Ok(params.retain(|member| member != name)?.into_bytes()),
        None => Ok(bytes.to_vec()),
    }
}

/// Sets a member of `params._meta`, which is made when absent.
pub fn set_meta(bytes: &[u8], name: &str, value: &impl Serialize) -> Result<Vec<u8>, SpliceError> {
    let value = serde_json::to_string(value)?;
    let meta = match Place::top(bytes)?.inner("params")? {
        Some(params) => params.inner("_meta")?,
        None => None,
    };
    match meta {
        Some(meta) => Ok(meta.with(name, &value)?.into_bytes()),
        None => {
            let meta = format!("{{{}:{value}}}", serde_json::to_string(name)?);
            set_in(bytes, "params", "_meta", &meta)
        }
    }
}

/// Removes a member of `params._meta`; nothing changes when it is absent.
pub fn remove_meta(bytes: &[u8], name: &str) -> Result<Vec<u8>, SpliceError> {
    retain_meta(bytes, |member| member != name)
}

/// Keeps those members of `params._meta` whose names `keep` says yes to.
pub fn retain_meta(bytes: &[u8], keep: impl Fn(&str) -> bool) -> Result<Vec<u8>, SpliceError> {
    let meta = match Place::top(bytes)?.inner("params")? {
        Some(params) => params.inner("_meta")?,
        None => None,
    };
    match meta {
        Some(meta) => Ok(meta.retain(keep)?.into_bytes()),
        None => Ok(bytes.to_vec()),
    }
}

/// Sets a member of `result`: for example `requestState`, wrapped in our seal (PX-24).
pub fn set_result(bytes: &[u8], name: &str, value: &impl Serialize) -> Result<Vec<u8>, SpliceError> {
    let result = Place::top(bytes)?.inner("result")?;
    let result = result.ok_or(SpliceError::Missing { member: "result" })?;
    Ok(result.with(name, &serde_json::to_string(value)?)?.into_bytes())
}

/// Removes a member of `result`; nothing changes when it is absent.
pub fn remove_result(bytes: &[u8], name: &str) -> Result<Vec<u8>, SpliceError> {
    let result = Place::top(bytes)?.inner("result")?;
    let result = result.ok_or(SpliceError::Missing { member: "result" })?;
    Ok(result.retain(|member| member != name)?.into_bytes())
}

/// Keeps those items of a list answer that `keep` says yes to, byte for byte and in order. Items that cannot be
/// judged go. A `cacheScope` becomes `private`, for the list is now one caller's (PX-23); none is added.
pub fn filter_list(
    bytes: &[u8],
    kind: ListKind,
    mut keep: impl FnMut(&ListItem<'_>) -> bool,
) -> Result<Vec<u8>, SpliceError> {
    let missing = || SpliceError::Missing { member: kind.member() };
    let result = Place::top(bytes)?.inner("result")?.ok_or_else(missing)?;
    let list = result.find(kind.member()).ok_or_else(missing)?;
    let elements = scan::elements(result.text, list.clone()).ok_or(SpliceError::Malformed)?;
    let mut parts = Vec::with_capacity(elements.len());
    for range in elements {
        let raw = result.text.get(range.clone()).ok_or(SpliceError::Malformed)?;
        let raw: &RawValue = serde_json::from_str(raw)?;
        let kept = ListItem::read(kind, raw).is_some_and(|item| keep(&item));
        parts.push((range, kept));
    }
    let filtered = retained(result.text, list, &parts)?.into_bytes();
    let scope = result.find("cacheScope");
    if scope.is_some() { set_result(&filtered, "cacheScope", &"private") } else { Ok(filtered) }
}

/// Keeps those entries of the filter `params.notifications` (of `subscriptions/listen` or its acknowledgement) that
/// `keep` says yes to: URIs of `resourceSubscriptions`, ids of `taskIds` (TR-42).
pub fn filter_subscriptions(
    bytes: &[u8],
    member: SubscriptionList,
    mut keep: impl FnMut(&str) -> bool,
) -> Result<Vec<u8>, SpliceError> {
    let Some(params) = Place::top(bytes)?.inner("params")? else { return Ok(bytes.to_vec()) };
    let Some(filter) = params.inner("notifications")? else { return Ok(bytes.to_vec()) };
    let Some(list) = filter.find(member.name()) else { return Ok(bytes.to_vec()) };
    let elements = scan::elements(filter.text, list.clone()).ok_or(SpliceError::Malformed)?;
    let parts: Vec<_> = elements
        .into_iter()
        .map(|range| {
            let text = filter.text.get(range.clone()).and_then(scan::unescape);
            (range, text.is_some_and(|text| keep(&text)))
        })
        .collect();
    Ok(retained(filter.text, list, &parts)?.into_bytes())
}

/// A list inside the filter of `subscriptions/listen`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubscriptionList {
    /// `resourceSubscriptions`
    Resources,
    /// `taskIds`
    Tasks,
}

impl SubscriptionList {
    const fn name(self) -> &'static str {
        match self {
            Self::Resources => "resourceSubscriptions",
            Self::Tasks => "taskIds",
        }
    }
}

/// Adds entries to a list answer at its end: the gateway's own tools among an upstream's. Entries whose name is
/// there already are not added, so the upstream's stay reachable.
pub fn append_to_list(bytes: &[u8], kind: ListKind, items: &[Box<RawValue>]) -> Result<Vec<u8>, SpliceError> {
    let missing = || SpliceError::Missing { member: kind.member() };
    let result = Place::top(bytes)?.inner("result")?.ok_or_else(missing)?;
    let list = result.find(kind.member()).ok_or_else(missing)?;
    let elements = scan::elements(result.text, list.clone()).ok_or(SpliceError::Malformed)?;
    let mut keys = HashSet::new();
    for range in &elements {
        let raw = result.text.get(range.clone()).ok_or(SpliceError::Malformed)?;
        if let Some(item) = ListItem::read(kind, serde_json::from_str(raw)?) {
            keys.insert(item.key().to_owned());
        }
    }
    let mut added = String::new();
    for item in items {
        let is_new = ListItem::read(kind, item).is_some_and(|item| keys.insert(item.key().to_owned()));
        if is_new {
            if !(elements.is_empty() && added.is_empty()) {
                added.push(',');
            }
            added.push_str(item.get());
        }
    }
    let end = elements.last().map_or(list.start + 1, |last| last.end);
    Ok(replaced(result.text, end..end, &added)?.into_bytes())
}

fn set_in(bytes: &[u8], outer: &str, name: &str, value: &str) -> Result<Vec<u8>, SpliceError> {
    let top = Place::top(bytes)?;
    let edited = match top.inner(outer)? {
        Some(inner) => inner.with(name, value)?,
        None => top.with(outer, &format!("{{{}:{value}}}", serde_json::to_string(name)?))?,
    };
    Ok(edited.into_bytes())
}

fn replaced(text: &str, range: Range<usize>, value: &str) -> Result<String, SpliceError> {
    let before = text.get(..range.start).ok_or(SpliceError::Malformed)?;
    let after = text.get(range.end..).ok_or(SpliceError::Malformed)?;
    Ok([before, value, after].concat())
}

/// The text with only those parts of one object or array that are to be kept. Each kept part but the first takes
/// along what stood between it and the part before it.
fn retained(text: &str, container: Range<usize>, parts: &[(Range<usize>, bool)]) -> Result<String, SpliceError> {
    let (Some((first, _)), Some((last, _))) = (parts.first(), parts.last()) else {
        return Ok(text.to_owned());
    };
    let get = |range: Range<usize>| text.get(range).ok_or(SpliceError::Malformed);
    let mut out = String::with_capacity(text.len());
    out.push_str(get(0..first.start)?);
    let mut previous_end = None;
    let mut is_first = true;
    for (range, keep) in parts {
        if *keep {
            let from = match previous_end {
                Some(end) if !is_first => end,
                _ => range.start,
            };
            out.push_str(get(from..range.end)?);
            is_first = false;
        }
        previous_end = Some(range.end);
    }
    out.push_str(get(last.end..container.end)?);
    out.push_str(get(container.end..text.len())?);
    Ok(out)
}

#[cfg(test)]
mod tests;
