//! Errors, as a provisioning client gets them (RFC 7644 §3.12).

use serde_json::{Value, json};

/// The schema of an error.
pub const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// Why a request is refused. Each has a status, most a `scimType` (RFC 7644 §3.12, table 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScimError {
    /// The filter cannot be read, or compares values that cannot be compared.
    #[error("the filter cannot be read, or is longer or deeper than is read here: {0}")]
    InvalidFilter(&'static str),
    /// The path of an operation cannot be read, or names no attribute.
    #[error("the path names no attribute, or is longer or deeper than is read here: {0}")]
    InvalidPath(&'static str),
    /// The body is not of the required form.
    #[error("the body is not of the required form: {0}")]
    InvalidSyntax(&'static str),
    /// A value is missing or not of the attribute's type.
    #[error("a value is missing, or not of the type of its attribute: {0}")]
    InvalidValue(&'static str),
    /// The attribute cannot be changed by clients.
    #[error("the attribute cannot be changed so: {0}")]
    Mutability(&'static str),
    /// No value matches the path, or a path is missing.
    #[error("the path meets no value: {0}")]
    NoTarget(&'static str),
    /// There is no such resource.
    #[error("there is no such resource")]
    NotFound,
    /// The version in `If-Match` is not the current one.
    #[error("the resource has changed: read it again")]
    PreconditionFailed,
    /// There are more results than are processed.
    #[error("the request concerns too much: {0}")]
    TooMany(&'static str),
    /// A value that has to be unique exists already.
    #[error("another resource has this value: {0}")]
    Uniqueness(&'static str),
}

impl ScimError {
    /// Returns the HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidFilter(_)
            | Self::InvalidPath(_)
            | Self::InvalidSyntax(_)
            | Self::InvalidValue(_)
            | Self::Mutability(_)
            | Self::NoTarget(_)
            | Self::TooMany(_) => 400,
            Self::NotFound => 404,
            Self::PreconditionFailed => 412,
            Self::Uniqueness(_) => 409,
        }
    }

    /// Returns the registered `scimType`, if there is one.
    pub fn scim_type(self) -> Option<&'static str> {
        match self {
            Self::InvalidFilter(_) => Some("invalidFilter"),
            Self::InvalidPath(_) => Some("invalidPath"),
            Self::InvalidSyntax(_) => Some("invalidSyntax"),
            Self::InvalidValue(_) => Some("invalidValue"),
            Self::Mutability(_) => Some("mutability"),
            Self::NoTarget(_) => Some("noTarget"),
            Self::NotFound | Self::PreconditionFailed => None,
            Self::TooMany(_) => Some("tooMany"),
            Self::Uniqueness(_) => Some("uniqueness"),
        }
    }

    /// Returns the body of the response.
    pub fn body(self) -> Value {
        let mut body = json!({ "schemas": [SCHEMA], "status": self.status().to_string(), "detail": self.to_string() });
        if let (Some(word), Some(members)) = (self.scim_type(), body.as_object_mut()) {
            members.insert("scimType".to_owned(), json!(word));
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{SCHEMA, ScimError};

    #[test]
    fn an_error_says_its_status_as_text_and_its_word() {
        let body = ScimError::NoTarget("emails").body();
        assert_eq!(
            body,
            json!({ "schemas": [SCHEMA], "status": "400", "scimType": "noTarget", "detail": "the path meets no value: emails" })
        );
        assert_eq!(ScimError::Uniqueness("userName").status(), 409);
        assert!(ScimError::NotFound.body().get("scimType").is_none());
    }
}
