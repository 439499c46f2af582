//! How each kind of provider differs from the specification or from the others. The product's own table is
//! `protocol::openid::profile`; this one was written independently, so that a mistake in one shows.

use serde_json::{Map, Value, json};

/// A kind of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaves {
    /// Auth0: the issuer ends in a slash; groups stand in a claim whose name is a URL.
    Auth0,
    /// authentik: the issuer ends in a slash.
    Authentik,
    /// Entra ID: `sub` differs by client, `oid` and `tid` do not; times in the past; no `iss` in answers; groups by
    /// identifier ([`object_id`]).
    Entra,
    /// Entra ID for a person in too many groups: a link in place of the groups.
    EntraOverage,
    /// The behaviour that the specification describes.
    Generic,
    /// Google: no groups, `hd`, no page to sign out.
    Google,
    /// Keycloak: roles in objects, `session_state`, groups as paths.
    Keycloak,
    /// LemonLDAP::NG: claims at UserInfo only, groups as one text.
    Lemonldap,
    /// Okta: groups in the ID token, `amr`, `idp`.
    Okta,
}

/// Where a provider sends claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the ID token.
    IdToken,
    /// At UserInfo.
    UserInfo,
}

/// Returns the identifier of a group at Entra ID. Names that the tests do not use stay as they are.
pub fn object_id(group: &str) -> &str {
    match group {
        "auditors" => "3f2b8a60-91f4-4d3a-8b57-2c1de07a6f10",
        "engineers" => "6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5",
        other => other,
    }
}

/// Returns the identifiers of groups at Entra ID.
pub fn object_ids(groups: &Value) -> Value {
    match groups {
        Value::Array(items) => items.iter().map(object_ids).collect(),
        Value::String(name) => json!(object_id(name)),
        other => other.clone(),
    }
}

impl Behaves {
    /// All kinds of provider.
    pub const ALL: [Self; 9] = [
        Self::Auth0,
        Self::Authentik,
        Self::Entra,
        Self::EntraOverage,
        Self::Generic,
        Self::Google,
        Self::Keycloak,
        Self::Lemonldap,
        Self::Okta,
    ];

    /// Returns the path of the issuer.
    pub fn path(self) -> &'static str {
        match self {
            Self::Auth0 => "/",
            Self::Authentik => "/application/o/sekisho/",
            Self::Entra | Self::EntraOverage => "/8d2c6a2e-5b0e-4b6e-9d40-b24a7c0a5b11/v2.0",
            Self::Keycloak => "/realms/corp",
            Self::Generic | Self::Google | Self::Lemonldap | Self::Okta => "",
        }
    }

    /// Returns the claims of the person who is signed in.
    pub fn person(self) -> Map<String, Value> {
        let person = json!({ "sub": "ada-1", "name": "Ada", "email": "ada@example.com", "email_verified": true,
            "preferred_username": "ada", "groups": ["engineers", "auditors"] });
        person.as_object().cloned().unwrap_or_default()
    }

    /// Whether the redirect with the answer names the issuer (RFC 9207).
    pub fn sends_iss(self) -> bool {
        matches!(self, Self::Generic | Self::Keycloak | Self::Okta)
    }

    /// Changes the metadata document.
    pub fn describe(self, document: &mut Value) {
        if self.sends_iss() {
            document["authorization_response_iss_parameter_supported"] = json!(true);
        }
        match self {
            // Entra ID supports PKCE and does not announce it.
            Self::Entra | Self::EntraOverage => {}
            Self::Google => {
                document["code_challenge_methods_supported"] = json!(["plain", "S256"]);
                document.as_object_mut().expect("metadata are an object").remove("end_session_endpoint");
            }
            // LemonLDAP::NG writes some of its flags as text.
            Self::Lemonldap => document["request_parameter_supported"] = json!("true"),
            _ => document["code_challenge_methods_supported"] = json!(["plain", "S256"]),
        }
    }

    /// Changes the times in an ID token that is issued now.
    pub fn date(self, claims: &mut Map<String, Value>, now: i64) {
        if matches!(self, Self::Entra | Self::EntraOverage) {
            for name in ["iat", "nbf"] {
                claims.insert(name.to_owned(), json!(now - 300));
            }
            claims.insert("exp".to_owned(), json!(now + 3600));
            claims.remove("auth_time");
            claims.remove("at_hash");
        }
    }

    /// Returns the claims of a person at one place.
    pub fn at(self, place: Place, person: &Map<String, Value>) -> Map<String, Value> {
        let mut claims = person.clone();
        let groups = claims.get("groups").cloned().unwrap_or_else(|| json!([]));
        match self {
            Self::Generic | Self::Authentik => {}
            Self::Okta => drop(claims.insert("amr".to_owned(), json!(["pwd", "mfa"]))),
            Self::Auth0 => {
                claims.remove("groups");
                claims.insert("https://example.com/groups".to_owned(), groups);
            }
            Self::Google => {
                claims.remove("groups");
                claims.insert("hd".to_owned(), json!("example.com"));
            }
            Self::Keycloak => {
                claims.insert("realm_access".to_owned(), json!({ "roles": groups.clone() }));
                let texts = groups.as_array().into_iter().flatten().filter_map(Value::as_str);
                let paths: Vec<String> = texts.map(|text| format!("/{text}")).collect();
                claims.insert("groups".to_owned(), json!(paths));
            }
            Self::Lemonldap if place == Place::IdToken => {
                claims.retain(|name, _| name == "sub");
            }
            Self::Lemonldap => {
                let texts = groups.as_array().into_iter().flatten().filter_map(Value::as_str);
                let joined = texts.collect::<Vec<_>>().join("; ");
                claims.insert("groups".to_owned(), json!(joined));
            }
            Self::Entra | Self::EntraOverage => {
                let tenant = "8d2c6a2e-5b0e-4b6e-9d40-b24a7c0a5b11";
                claims.insert("tid".to_owned(), json!(tenant));
                claims.insert("oid".to_owned(), json!("0b9f4d1c-7f1e-4c55-8a41-8a0f5c3f7e21"));
                claims.insert("sub".to_owned(), json!("pairwise-of-this-client"));
                claims.insert("ver".to_owned(), json!("2.0"));
                claims.insert("groups".to_owned(), object_ids(&groups));
                if self == Self::EntraOverage {
                    claims.remove("groups");
                    claims.insert("_claim_names".to_owned(), json!({ "groups": "src1" }));
                    let link = "https://graph.windows.net/tenant/users/oid/getMemberObjects";
                    claims.insert("_claim_sources".to_owned(), json!({ "src1": { "endpoint": link } }));
                }
            }
        }
        claims
    }
}
