//! The table of supported attributes: their names, types, and what clients may do with each (RFC 7643
//! §4, §7, §8.7).

use serde_json::{Value, json};

/// The schema of users.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The schema of groups.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The schema of the enterprise extension of users (RFC 7643 §4.3).
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The kinds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A group.
    Group,
    /// A user.
    User,
}

impl Kind {
    /// Returns the value of `meta.resourceType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "Group",
            Self::User => "User",
        }
    }

    /// Returns the URI of the schema.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Group => GROUP,
            Self::User => USER,
        }
    }

    /// Returns the path of the endpoint for resources of this kind.
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::Group => "/Groups",
            Self::User => "/Users",
        }
    }

    /// Returns all attributes of the kind, including the common ones.
    pub(crate) fn attributes(self) -> impl Iterator<Item = &'static Attribute> {
        let own = match self {
            Self::Group => GROUP_ATTRIBUTES,
            Self::User => USER_ATTRIBUTES,
        };
        COMMON.iter().chain(own)
    }

    /// Returns the attribute of the core schema with this name in any case.
    pub(crate) fn attribute(self, name: &str) -> Option<&'static Attribute> {
        self.attributes().find(|one| one.name.eq_ignore_ascii_case(name))
    }
}

/// Returns the attribute of the enterprise extension with this name in any case.
pub(crate) fn enterprise(name: &str) -> Option<&'static Attribute> {
    ENTERPRISE_ATTRIBUTES.iter().find(|one| one.name.eq_ignore_ascii_case(name))
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Boolean,
    /// An object of sub-attributes.
    Complex,
    /// A timestamp.
    DateTime,
    /// A URI.
    Reference,
    /// A text.
    String,
}

/// What a client may do with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// Give it, and not change it afterwards: a part of a value that is added and removed as a whole.
    Immutable,
    /// Read it: only the server sets it.
    ReadOnly,
    /// Read and change it.
    ReadWrite,
}

/// One attribute.
#[derive(Debug)]
pub struct Attribute {
    /// The name, in its usual case.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Type,
    /// Whether it may have several values.
    pub several: bool,
    /// Whether the case of letters counts when texts are compared.
    pub case_exact: bool,
    /// Whether a resource has to have it.
    pub required: bool,
    /// What a client may do with it.
    pub mutability: Mutability,
    /// The parts of a complex attribute.
    pub parts: &'static [Attribute],
    /// What a reference leads to: a kind of resource, or `external`.
    pub references: &'static [&'static str],
}

impl Attribute {
    /// Returns the part with this name in any case.
    pub(crate) fn part(&self, name: &str) -> Option<&'static Attribute> {
        self.parts.iter().find(|one| one.name.eq_ignore_ascii_case(name))
    }

    fn document(&self) -> Value {
        let kind = match self.kind {
            Type::Boolean => "boolean",
            Type::Complex => "complex",
            Type::DateTime => "dateTime",
            Type::Reference => "reference",
            Type::String => "string",
        };
        let mutability = match self.mutability {
            Mutability::Immutable => "immutable",
            Mutability::ReadOnly => "readOnly",
            Mutability::ReadWrite => "readWrite",
        };
        let unique = matches!(self.name, "userName");
        let mut document = json!({
            "name": self.name,
            "type": kind,
            "multiValued": self.several,
            "description": format!("As RFC 7643 has `{}`.", self.name),
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": mutability,
            "returned": "default",
            "uniqueness": if unique { "server" } else { "none" },
        });
        if let Some(members) = document.as_object_mut() {
            if self.kind == Type::Complex {
                let parts: Vec<Value> = self.parts.iter().map(Self::document).collect();
                members.insert("subAttributes".to_owned(), json!(parts));
            }
            if self.kind == Type::Reference {
                members.insert("referenceTypes".to_owned(), json!(self.references));
            }
        }
        document
    }
}

const PLAIN: Attribute = Attribute {
    name: "",
    kind: Type::String,
    several: false,
    case_exact: false,
    required: false,
    mutability: Mutability::ReadWrite,
    parts: &[],
    references: &[],
};

const fn text(name: &'static str) -> Attribute {
    Attribute { name, ..PLAIN }
}

const fn exact(name: &'static str) -> Attribute {
    Attribute { name, case_exact: true, ..PLAIN }
}

const fn reference(name: &'static str, references: &'static [&'static str]) -> Attribute {
    Attribute { name, kind: Type::Reference, case_exact: true, references, ..PLAIN }
}

const fn read_only(attribute: Attribute) -> Attribute {
    Attribute { mutability: Mutability::ReadOnly, ..attribute }
}

const fn boolean(name: &'static str) -> Attribute {
    Attribute { name, kind: Type::Boolean, ..PLAIN }
}

const fn complex(name: &'static str, several: bool, parts: &'static [Attribute]) -> Attribute {
    Attribute { name, kind: Type::Complex, several, parts, ..PLAIN }
}

/// The parts of every list of values (RFC 7643 §2.4).
const VALUES: &[Attribute] = &[text("value"), text("display"), text("type"), boolean("primary")];

const META: &[Attribute] = &[
    exact("resourceType"),
    Attribute { name: "created", kind: Type::DateTime, ..PLAIN },
    Attribute { name: "lastModified", kind: Type::DateTime, ..PLAIN },
    exact("location"),
    exact("version"),
];

/// The common attributes (RFC 7643 §3.1). They belong to no schema, so no document has them.
const COMMON: &[Attribute] = &[
    Attribute { name: "id", case_exact: true, mutability: Mutability::ReadOnly, ..PLAIN },
    exact("externalId"),
    Attribute { name: "meta", kind: Type::Complex, mutability: Mutability::ReadOnly, parts: META, ..PLAIN },
];

/// The attributes of users (RFC 7643 §4.1), without `password`: provisioned users have none.
const USER_ATTRIBUTES: &[Attribute] = &[
    Attribute { name: "userName", required: true, ..PLAIN },
    complex(
        "name",
        false,
        &[
            text("formatted"),
            text("familyName"),
            text("givenName"),
            text("middleName"),
            text("honorificPrefix"),
            text("honorificSuffix"),
        ],
    ),
    text("displayName"),
    text("nickName"),
    reference("profileUrl", &["external"]),
    text("title"),
    text("userType"),
    text("preferredLanguage"),
    text("locale"),
    text("timezone"),
    boolean("active"),
    complex("emails", true, VALUES),
    complex("phoneNumbers", true, VALUES),
    complex("ims", true, VALUES),
    complex("photos", true, VALUES),
    complex(
        "addresses",
        true,
        &[
            text("formatted"),
            text("streetAddress"),
            text("locality"),
            text("region"),
            text("postalCode"),
            text("country"),
            text("type"),
            boolean("primary"),
        ],
    ),
    Attribute {
        name: "groups",
        kind: Type::Complex,
        several: true,
        mutability: Mutability::ReadOnly,
        parts: &[
            read_only(exact("value")),
            read_only(reference("$ref", &["Group"])),
            read_only(text("display")),
            read_only(text("type")),
        ],
        ..PLAIN
    },
    complex("entitlements", true, VALUES),
    complex("roles", true, VALUES),
];

/// The attributes of groups (RFC 7643 §4.2).
const GROUP_ATTRIBUTES: &[Attribute] = &[
    Attribute { name: "displayName", required: true, ..PLAIN },
    complex(
        "members",
        true,
        &[
            Attribute { mutability: Mutability::Immutable, ..exact("value") },
            Attribute { mutability: Mutability::Immutable, ..reference("$ref", &["User"]) },
            read_only(text("display")),
            read_only(text("type")),
        ],
    ),
];

/// The attributes of the enterprise extension (RFC 7643 §4.3).
const ENTERPRISE_ATTRIBUTES: &[Attribute] = &[
    text("employeeNumber"),
    text("costCenter"),
    text("organization"),
    text("division"),
    text("department"),
    complex("manager", false, &[exact("value"), reference("$ref", &["User"]), read_only(text("displayName"))]),
];

/// Returns the documents at `/Schemas` (RFC 7643 §7).
pub fn documents(base_url: &str) -> Vec<Value> {
    let document = |id: &str, name: &str, attributes: Vec<Value>| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": id,
            "name": name,
            "description": name,
            "attributes": attributes,
            "meta": { "resourceType": "Schema", "location": format!("{base_url}/Schemas/{id}") },
        })
    };
    let all = |attributes: &[Attribute]| attributes.iter().map(Attribute::document).collect();
    vec![
        document(USER, "User", all(USER_ATTRIBUTES)),
        document(GROUP, "Group", all(GROUP_ATTRIBUTES)),
        document(ENTERPRISE, "EnterpriseUser", all(ENTERPRISE_ATTRIBUTES)),
    ]
}
