//! Arguments that a tool's schema wants mirrored into headers: `x-mcp-header` (2026-07-28; TR-31..TR-34).

use std::collections::HashSet;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::headers::{HeaderError, HeaderView, PARAM_PREFIX, ValueError, decode_value, encode_value};
use super::strict::is_exact;
use crate::decimal::Decimal;

/// The schema member that asks for mirroring.
pub const ANNOTATION: &str = "x-mcp-header";

/// Subschemas of one tool; a schema with more is refused rather than walked (PX-18).
const SUBSCHEMAS_MAX: usize = 10_000;
/// The largest integer that every JavaScript client holds exactly: 2^53 − 1.
const SAFE_INTEGER_MAX: i64 = (1 << 53) - 1;

/// The types that an annotated argument may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Primitive {
    /// `true` or `false`.
    Boolean,
    /// Compared by its value.
    Integer,
    /// Compared byte by byte.
    String,
}

/// One argument that is mirrored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Annotation {
    /// The whole header name, in lower case.
    pub header: String,
    /// The names that lead to the argument, outermost first.
    pub path: Vec<String>,
    /// Its declared type.
    pub primitive: Primitive,
}

/// The annotations of one tool.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Annotations(Vec<Annotation>);

/// Why a tool's definition is invalid; such a tool is left out of lists, the others stay (TR-32).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AnnotationError {
    /// Not a string of at least one `tchar` (RFC 9110 §5.6.2).
    #[error("`x-mcp-header` must be a non-empty token")]
    Name,
    /// The annotated property is no string, integer or boolean.
    #[error("`x-mcp-header` is for strings, integers and booleans only")]
    Primitive,
    /// Below `items`, a composition, a condition, a reference or a definition, or on the schema itself.
    #[error("`x-mcp-header` is only allowed where `properties` alone lead to it")]
    Unreachable,
    /// Two annotations differ by case at most.
    #[error("`x-mcp-header` names must differ by more than case")]
    Repeated,
    /// The schema is not JSON, or has too many subschemas.
    #[error("the input schema cannot be read")]
    Schema,
}

/// One subschema still to be looked at. `path` is `None` where no annotation is allowed.
struct Pending<'a> {
    schema: &'a Value,
    path: Option<Vec<&'a str>>,
}

impl Annotations {
    /// Finds and validates the annotations of a tool's `inputSchema`.
    pub fn read(input_schema: &RawValue) -> Result<Self, AnnotationError> {
        // Most schemas have none, and are then not worth parsing. An escape could hide the name.
        let text = input_schema.get();
        if !text.contains(ANNOTATION) && !text.contains("\\u") {
            return Ok(Self::default());
        }
        let schema: Value = serde_json::from_str(text).map_err(|_| AnnotationError::Schema)?;
        let mut found = Vec::new();
        let mut names = HashSet::new();
        let mut pending = vec![Pending { schema: &schema, path: Some(Vec::new()) }];
        let mut seen = 0usize;
        while let Some(next) = pending.pop() {
            seen += 1;
            if seen > SUBSCHEMAS_MAX {
                return Err(AnnotationError::Schema);
            }
            let Value::Object(members) = next.schema else { continue };
            if let Some(annotation) = annotation(members, next.path.as_deref())? {
                if !names.insert(annotation.header.clone()) {
                    return Err(AnnotationError::Repeated);
                }
                found.push(annotation);
            }
            descend(members, next.path.as_deref(), &mut pending);
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self(found))
    }

    /// The annotations, by path.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.0.iter()
    }

    /// Whether nothing is mirrored.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers that a client sends along with `arguments` (TR-33). What cannot be mirrored is left out: the
    /// upstream will say so.
    pub fn headers(&self, arguments: Option<&str>) -> Vec<(String, String)> {
        let arguments = parse(arguments);
        let mirrored = self.0.iter().filter_map(|annotation| {
            let text = match find(&arguments, &annotation.path)? {
                Value::Bool(value) => value.to_string(),
                Value::Number(number) => integer(number)?.to_string(),
                Value::String(text) => text.clone(),
                Value::Array(_) | Value::Null | Value::Object(_) => return None,
            };
            Some((annotation.header.clone(), encode_value(&text).into_owned()))
        });
        mirrored.collect()
    }
}

/// Whether the mirrored arguments say what the body says: there exactly when the value is (TR-34), integers
/// compared as numbers (TR-31). Headers that the tool's schema does not know are not looked at (PX-29).
pub fn params_agree(
    annotations: &Annotations,
    headers: &HeaderView<'_>,
    arguments: Option<&str>,
) -> Result<(), HeaderError> {
    if annotations.is_empty() {
        return Ok(());
    }
    let arguments = parse(arguments);
    for annotation in annotations.iter() {
        let header = annotation.header.as_str();
        let named = || header.to_owned();
        let sent = match headers.param(header)? {
            Some(value) => Some(decode_value(value).map_err(|ValueError| HeaderError::Malformed { header: named() })?),
            None => None,
        };
        match (find(&arguments, &annotation.path), sent) {
            (None | Some(Value::Null), None) => {}
            (None | Some(Value::Null), Some(_)) => {
                return Err(HeaderError::Unexpected { header: named() });
            }
            (Some(_), None) => return Err(HeaderError::Missing { header: named() }),
            (Some(value), Some(sent)) if says_the_same(value, &sent, annotation.primitive) => {}
            (Some(_), Some(_)) => return Err(HeaderError::Mismatch { header: named() }),
        }
    }
    Ok(())
}

fn says_the_same(value: &Value, sent: &str, primitive: Primitive) -> bool {
    match (primitive, value) {
        (Primitive::Boolean, Value::Bool(value)) => sent == if *value { "true" } else { "false" },
        (Primitive::Integer, Value::Number(number)) => is_same_integer(&number.to_string(), sent),
        (Primitive::String, Value::String(text)) => sent == text,
        _ => false,
    }
}

/// An integer in the safe range, however it is written: `42`, `42.0`, `4.2e1`.
fn integer(number: &serde_json::Number) -> Option<i64> {
    let integer = match number.as_i64() {
        Some(integer) => integer,
        // What is too large for the cast saturates, and is out of range below.
        None => number.as_f64().filter(|double| double.fract() == 0.0)? as i64,
    };
    (-SAFE_INTEGER_MAX..=SAFE_INTEGER_MAX).contains(&integer).then_some(integer)
}

/// Whether two texts are one whole number by the grammar of JSON, so that `0x2A`, `+42` and ` 42` are none: a JavaScript
/// client writes `1e+21` for the `1e21` of its body. One that some programs round is the same as nothing.
fn is_same_integer(value: &str, sent: &str) -> bool {
    let number = |text| Decimal::parse(text).filter(|number| number.is_integer() && is_exact(text));
    number(value).is_some_and(|value| number(sent) == Some(value))
}

fn annotation(schema: &Map<String, Value>, path: Option<&[&str]>) -> Result<Option<Annotation>, AnnotationError> {
    let Some(name) = schema.get(ANNOTATION) else { return Ok(None) };
    let name = name.as_str().filter(|name| is_token(name)).ok_or(AnnotationError::Name)?;
    let path = path.filter(|path| !path.is_empty()).ok_or(AnnotationError::Unreachable)?;
    let primitive = primitive(schema.get("type")).ok_or(AnnotationError::Primitive)?;
    Ok(Some(Annotation {
        header: format!("{PARAM_PREFIX}{}", name.to_ascii_lowercase()),
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        primitive,
    }))
}

/// One primitive type, or that and `null`: for null the header is left out, so nullable arguments are foreseen.
fn primitive(declared: Option<&Value>) -> Option<Primitive> {
    let name = match declared? {
        Value::String(name) => name.as_str(),
        Value::Array(names) => {
            let mut others = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            let name = others.next()?;
            if others.next().is_some() {
                return None;
            }
            name
        }
        _ => return None,
    };
    match name {
        "boolean" => Some(Primitive::Boolean),
        "integer" => Some(Primitive::Integer),
        "string" => Some(Primitive::String),
        _ => None,
    }
}

/// Queues the subschemas of a schema. `properties` lead on; everything else that may hold a schema is looked at
/// only to find annotations that must not be there.
fn descend<'a>(schema: &'a Map<String, Value>, path: Option<&[&'a str]>, pending: &mut Vec<Pending<'a>>) {
    for (keyword, value) in schema {
        match (keyword.as_str(), value) {
            // Data, in which anything may stand.
            ("const" | "default" | "enum" | "examples" | ANNOTATION, _) => {}
            ("properties", Value::Object(properties)) => {
                for (name, schema) in properties {
                    let path = path.map(|path| {
                        let mut path = path.to_vec();
                        path.push(name.as_str());
                        path
                    });
                    pending.push(Pending { schema, path });
                }
            }
            ("$defs" | "definitions" | "dependentSchemas" | "patternProperties", Value::Object(schemas)) => {
                pending.extend(schemas.values().map(|schema| Pending { schema, path: None }));
            }
            (_, Value::Object(_)) => pending.push(Pending { schema: value, path: None }),
            (_, Value::Array(schemas)) => {
                pending.extend(schemas.iter().map(|schema| Pending { schema, path: None }));
            }
            _ => {}
        }
    }
}

fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

fn parse(arguments: Option<&str>) -> Value {
    // What was checked parses, save for depth, and then nothing is found and nothing agrees.
    arguments.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
}

fn find<'a>(arguments: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(arguments, |value, name| value.as_object()?.get(name))
}

#[cfg(test)]
mod tests;
