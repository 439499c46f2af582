//! The keywords of JSON Schema 2020-12, by the type that each applies to.

use sekisho_protocol::json::Kind;
use sekisho_protocol::mcp::strict::loosely;
use serde_json::Value;

/// What a keyword does in bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It restricts values of any type.
    Any,
    /// It is an annotation.
    Note,
    /// It restricts values of one type, and no others.
    Of(Family),
    /// It is not used in bounds. Holds the text that says what to write instead.
    Unclear(&'static str),
}

/// The types that keywords apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Array,
    Number,
    Object,
    String,
}

impl Family {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Array => Kind::Array,
            Self::Number => Kind::Number,
            Self::Object => Kind::Object,
            Self::String => Kind::String,
        }
    }
}

const BRANCHES: &str = "list what is allowed with `anyOf`";
const CLOSED: &str = "list the arguments under `properties`, with `\"additionalProperties\": false`";

/// Every keyword (2020-12), sorted.
const WORDS: [(&str, Word); 51] = [
    ("$comment", Word::Note),
    ("$schema", Word::Note),
    ("additionalProperties", Word::Of(Family::Object)),
    ("allOf", Word::Any),
    ("anyOf", Word::Any),
    ("const", Word::Any),
    ("contains", Word::Of(Family::Array)),
    ("contentEncoding", Word::Unclear("it is a remark that nothing checks; use `pattern`")),
    ("contentMediaType", Word::Unclear("it is a remark that nothing checks; use `pattern`")),
    ("contentSchema", Word::Unclear("it is a remark that nothing checks; use `pattern`")),
    ("default", Word::Note),
    ("dependentRequired", Word::Unclear(BRANCHES)),
    ("dependentSchemas", Word::Unclear(BRANCHES)),
    ("deprecated", Word::Note),
    ("description", Word::Note),
    ("else", Word::Unclear(BRANCHES)),
    ("enum", Word::Any),
    ("examples", Word::Note),
    ("exclusiveMaximum", Word::Of(Family::Number)),
    ("exclusiveMinimum", Word::Of(Family::Number)),
    ("format", Word::Of(Family::String)),
    ("if", Word::Unclear(BRANCHES)),
    ("items", Word::Of(Family::Array)),
    ("maxContains", Word::Unclear("say what each item may be with `items`")),
    ("maxItems", Word::Of(Family::Array)),
    ("maxLength", Word::Of(Family::String)),
    ("maxProperties", Word::Of(Family::Object)),
    ("maximum", Word::Of(Family::Number)),
    ("minContains", Word::Unclear("say what each item may be with `items`")),
    ("minItems", Word::Of(Family::Array)),
    ("minLength", Word::Of(Family::String)),
    ("minProperties", Word::Of(Family::Object)),
    ("minimum", Word::Of(Family::Number)),
    ("multipleOf", Word::Of(Family::Number)),
    ("not", Word::Any),
    ("oneOf", Word::Unclear(BRANCHES)),
    ("pattern", Word::Of(Family::String)),
    ("patternProperties", Word::Of(Family::Object)),
    ("prefixItems", Word::Of(Family::Array)),
    ("properties", Word::Of(Family::Object)),
    ("propertyNames", Word::Unclear(CLOSED)),
    ("readOnly", Word::Note),
    ("required", Word::Of(Family::Object)),
    ("then", Word::Unclear(BRANCHES)),
    ("title", Word::Note),
    ("type", Word::Any),
    ("unevaluatedItems", Word::Unclear("use `\"items\": false` beside `prefixItems`")),
    ("unevaluatedProperties", Word::Unclear(CLOSED)),
    ("uniqueItems", Word::Of(Family::Array)),
    ("writeOnly", Word::Note),
    // A keyword of OpenAPI 3.0, which JSON Schema ignores.
    ("nullable", Word::Unclear("add \"null\" to `type`")),
];

impl Word {
    pub(super) fn of(keyword: &str) -> Option<Self> {
        WORDS.iter().find(|(word, _)| *word == keyword).map(|(_, means)| *means)
    }

    /// Whether the keyword can refuse anything with this value.
    pub(super) fn binds(self, keyword: &str, value: &Value) -> bool {
        match (self, value) {
            (Self::Note | Self::Unclear(_), _) => false,
            (Self::Any, _) => true,
            (Self::Of(_), Value::Array(list)) => !list.is_empty(),
            (Self::Of(_), Value::Bool(flag)) => *flag == (keyword == "uniqueItems"),
            (Self::Of(_), Value::Object(members)) => !members.is_empty(),
            (Self::Of(_), Value::Null | Value::Number(_) | Value::String(_)) => true,
        }
    }
}

/// Returns the names of all keywords.
pub(super) fn all() -> impl Iterator<Item = &'static str> + Clone {
    WORDS.iter().map(|(word, _)| *word)
}

/// How similar two words have to be for one to be suggested for the other.
const ALIKE_MIN: f64 = 0.7;

/// Returns the keyword that is most similar to this word, if one is similar enough.
pub(super) fn nearest(keyword: &str) -> Option<&'static str> {
    best(keyword, all())
}

fn best<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |other: &str| {
        if loosely(name) == loosely(other) { 1.0 } else { strsim::normalized_damerau_levenshtein(name, other) }
    };
    let scored = among.map(|other| (alike(other), other)).filter(|(score, _)| *score >= ALIKE_MIN);
    scored.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, other)| other)
}

/// Returns the end of a sentence that suggests what may have been meant, or lists what there is.
pub(super) fn meant<'a>(name: &str, among: impl Iterator<Item = &'a str> + Clone) -> String {
    const NAMED_MAX: usize = 12;
    match best(name, among.clone()) {
        Some(other) => format!("; did you mean `{other}`?"),
        None if among.clone().next().is_none() => "; it takes none".to_owned(),
        None if among.clone().count() > NAMED_MAX => String::new(),
        None => format!("; it has {}", among.map(|other| format!("`{other}`")).collect::<Vec<_>>().join(", ")),
    }
}
