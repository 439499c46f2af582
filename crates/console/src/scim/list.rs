//! What is asked of a list (RFC 7644 §3.4.2): which resources, which page of them, and which attributes.

use sekisho_scim::error::ScimError;
use sekisho_scim::filter::{Filter, Operand, Operator};
use sekisho_scim::list::Page;
use sekisho_scim::path::Home;
use sekisho_scim::projection::Projection;
use sekisho_scim::schema::Kind;
use sekisho_web::parameters::Parameters;
use serde_json::{Map, Value};

use super::answer::CallError;

/// The most resources that one filter is asked of.
pub(super) const LOOKED_AT_MAX: usize = 100_000;
/// How many rows are read at a time.
pub(super) const ROWS_AT_ONCE: i64 = 500;

/// The schema of a search.
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
const OF_ANOTHER_TYPE: ScimError = ScimError::InvalidSyntax("a member of the search has another type");

/// What is asked of a list.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    pub(super) page: Page,
    pub(super) projection: Projection,
}

/// A filter that one row answers, if any does: what clients ask before they create somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exact {
    /// `displayName eq "…"` is no such filter: names of groups are compared without case.
    ExternalId(String),
    Id(String),
    UserName(String),
}

impl Query {
    /// What the URL asks for (RFC 7644 §3.4.2).
    pub(super) fn read(parameters: &Parameters) -> Result<Self, CallError> {
        Self::of(|name| Ok(parameters.one(name).map(str::to_owned)))
    }

    /// What the body of a search asks for (RFC 7644 §3.4.3).
    pub(super) fn search(body: &Value) -> Result<Self, CallError> {
        let object = body.as_object().ok_or(ScimError::InvalidSyntax("an object is needed"))?;
        let schemas = object.get("schemas").and_then(Value::as_array);
        if !schemas.is_some_and(|all| all.iter().any(|one| one == SEARCH)) {
            return Err(ScimError::InvalidSyntax("`schemas` does not name the schema of a search").into());
        }
        Self::of(|name| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Array(names)) => {
                let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
                names.map(|names| Some(names.join(","))).ok_or(OF_ANOTHER_TYPE)
            }
            Some(Value::Bool(_) | Value::Object(_)) => Err(OF_ANOTHER_TYPE),
        })
    }

    fn of(given: impl Fn(&str) -> Result<Option<String>, ScimError>) -> Result<Self, CallError> {
        if given("sortBy")?.is_some() {
            return Err(CallError::NotSupported("lists are not sorted: leave out `sortBy`, see ServiceProviderConfig"));
        }
        let (start, count) = (given("startIndex")?, given("count")?);
        let (attributes, excluded) = (given("attributes")?, given("excludedAttributes")?);
        Ok(Self {
            filter: given("filter")?.as_deref().map(Filter::parse).transpose()?,
            page: Page::parse(start.as_deref(), count.as_deref())?,
            projection: Projection::parse(attributes.as_deref(), excluded.as_deref())?,
        })
    }

    /// The one row that can answer.
    pub(super) fn exact(&self) -> Option<Exact> {
        let Some(Filter::Compare(path, Operator::Eq, Operand::Text(text))) = &self.filter else { return None };
        if path.home != Home::Core || path.part.is_some() {
            return None;
        }
        match path.name.to_ascii_lowercase().as_str() {
            "externalid" => Some(Exact::ExternalId(text.clone())),
            "id" => Some(Exact::Id(text.clone())),
            "username" => Some(Exact::UserName(text.to_lowercase())),
            _ => None,
        }
    }

    /// Whether the filter asks for an attribute that costs something to read.
    pub(super) fn asks_for(&self, name: &str) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.to_string().to_ascii_lowercase().contains(name))
    }
}

/// Which attributes an answer has.
pub(super) fn projection(parameters: &Parameters) -> Result<Projection, ScimError> {
    Projection::parse(parameters.one("attributes"), parameters.one("excludedAttributes"))
}

/// The resources of one page, found one after another.
#[derive(Debug)]
pub(super) struct Found {
    page: Page,
    total: usize,
    looked_at: usize,
    kept: Vec<Map<String, Value>>,
}

impl Found {
    pub(super) fn new(page: Page) -> Self {
        Self { page, total: 0, looked_at: 0, kept: Vec::new() }
    }

    /// Looks at one more resource.
    pub(super) fn look(&mut self, kind: Kind, query: &Query, shown: &Map<String, Value>) -> Result<(), ScimError> {
        self.looked_at += 1;
        if self.looked_at > LOOKED_AT_MAX {
            return Err(ScimError::TooMany("ask for `userName`, `externalId` or `id` with `eq`"));
        }
        if query.filter.as_ref().is_some_and(|filter| !filter.matches(kind, shown)) {
            return Ok(());
        }
        self.total += 1;
        if self.total >= self.page.start && self.kept.len() < self.page.count {
            self.kept.push(query.projection.apply(kind, shown));
        }
        Ok(())
    }

    /// The answer.
    pub(super) fn response(self) -> Value {
        self.page.response(self.total, self.kept)
    }
}
