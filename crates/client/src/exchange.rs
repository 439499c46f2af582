//! Grants by assertion: what an identity provider says about a user, or a platform about a workload, exchanged for a
//! token (RFC 8693, RFC 7523; Enterprise-Managed Authorization).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::oauth_error::OauthErrorBody;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{ClientSecret, SubjectToken};
use serde::Deserialize;
use serde_json::Value;

use crate::http::{Destination, HttpClient, HttpError, Named, Request};
use crate::text::{code, presentable};

/// The identity provider at which a user logged in, and the ID token from there.
#[derive(Debug, Clone)]
pub struct IdentityProvider {
    /// Its issuer identifier.
    pub issuer: String,
    /// Its token endpoint.
    pub token_endpoint: String,
    /// The client identifier that we have there.
    pub client: ClientId,
    /// Our secret there, if we have one.
    pub secret: Option<ClientSecret>,
    /// The identity assertion of that login: an ID token (CL-54).
    pub id_token: SubjectToken,
}

/// Why there is no identity assertion grant, or why an assertion is not sent.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The assertion was made for another audience (RFC 7523 §3).
    #[error(
        "the statement about this workload is for {audience}, and not for `{issuer}`, which grants access here: it was not sent"
    )]
    Audience {
        /// The issuer that grants access.
        issuer: String,
        /// The audience that the assertion names.
        audience: String,
    },
    /// The endpoint is not an https URL.
    #[error("the token endpoint of the identity provider `{issuer}` is not an https URL")]
    Endpoint {
        /// The provider.
        issuer: String,
    },
    /// The exchange failed.
    #[error("the identity provider `{issuer}` could not be asked")]
    Http {
        /// The provider.
        issuer: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The answer is not a token response, or its grant has another type.
    #[error("the identity provider `{issuer}` answered with something else than an ID-JAG (status {status})")]
    Malformed {
        /// The provider.
        issuer: String,
        /// The HTTP status.
        status: u16,
    },
    /// The provider refused.
    #[error("the identity provider `{issuer}` lets nobody into `{audience}`: {code} ({description})")]
    Refused {
        /// The provider.
        issuer: String,
        /// The authorization server that the grant was for.
        audience: String,
        /// The error code.
        code: String,
        /// The provider's description of the error, made presentable.
        description: String,
    },
}

/// The requested token type: an identity assertion JWT authorization grant.
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Checks that `aud` of a platform's assertion names this issuer, by its identifier or its token endpoint (RFC 7523
/// §3). An issuer that gets an assertion for another one could use it there.
pub fn is_for(statement: &SubjectToken, server: &AuthorizationServer) -> Result<(), ExchangeError> {
    let audiences = audiences(statement).unwrap_or_default();
    if audiences.iter().any(|audience| *audience == server.issuer || *audience == server.token_endpoint) {
        return Ok(());
    }
    let named: Vec<String> = audiences.iter().map(|audience| format!("`{}`", presentable(audience))).collect();
    let audience = if named.is_empty() { "nobody that it names".to_owned() } else { named.join(", ") };
    Err(ExchangeError::Audience { issuer: server.issuer.clone(), audience })
}

/// Returns the `aud` of a JWT (RFC 7519 §4.1.3). The issuer has to verify the signature; it is not verified here.
fn audiences(statement: &SubjectToken) -> Option<Vec<String>> {
    let claims = URL_SAFE_NO_PAD.decode(statement.expose().split('.').nth(1)?).ok()?;
    match serde_json::from_slice::<Value>(&claims).ok()?.get("aud")? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: String,
    issued_token_type: String,
}

/// Exchanges the login at the identity provider for a grant that `audience`, the issuer of the resource, accepts
/// (CL-55).
pub async fn id_jag(
    http: &dyn HttpClient,
    provider: &IdentityProvider,
    audience: &str,
    resource: &ResourceId,
    scopes: Option<&ScopeSet>,
) -> Result<SubjectToken, ExchangeError> {
    let issuer = || provider.issuer.clone();
    let to = Destination::named(Named::TokenEndpoint, &provider.issuer, &provider.token_endpoint)
        .map_err(|_| ExchangeError::Endpoint { issuer: issuer() })?;
    let scope = scopes.map(ToString::to_string);
    let mut form = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", ID_JAG),
        ("audience", audience),
        ("resource", resource.as_str()),
        ("subject_token", provider.id_token.expose()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
    ];
    if let Some(scope) = &scope {
        form.push(("scope", scope));
    }
    if provider.secret.is_none() {
        form.push(("client_id", provider.client.as_str()));
    }
    let mut request = Request::post_form(to, form);
    if let Some(secret) = &provider.secret {
        request = request.basic(&provider.client, secret);
    }
    let response = http.send(request).await.map_err(|source| ExchangeError::Http { issuer: issuer(), source })?;
    let status = response.status.as_u16();
    if status != 200 {
        return Err(match response.json::<OauthErrorBody>() {
            Some(error) if (400..500).contains(&status) => ExchangeError::Refused {
                issuer: issuer(),
                audience: audience.to_owned(),
                code: code(&error.error),
                description: presentable(&error.error_description.unwrap_or_default()),
            },
            _ => ExchangeError::Malformed { issuer: issuer(), status },
        });
    }
    match response.json::<Exchanged>() {
        Some(exchanged) if exchanged.issued_token_type == ID_JAG => {
            Ok(SubjectToken::from_outside(exchanged.access_token))
        }
        _ => Err(ExchangeError::Malformed { issuer: issuer(), status }),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use sekisho_protocol::ids::ClientId;
    use sekisho_protocol::secret::SubjectToken;
    use serde_json::json;

    use super::{ExchangeError, IdentityProvider, id_jag, is_for};
    use crate::fixtures::{ISSUER, resource_id, server};
    use crate::http::Scripted;

    fn provider(endpoint: &str) -> IdentityProvider {
        IdentityProvider {
            issuer: "https://idp.test".to_owned(),
            token_endpoint: endpoint.to_owned(),
            client: ClientId::parse("us-at-idp").unwrap(),
            secret: None,
            id_token: SubjectToken::from_outside("the login"),
        }
    }

    /// ATK-206: a platform's assertion is sent only to an issuer that its `aud` names.
    #[test]
    fn a_statement_is_for_whom_it_names() {
        let jwt = |claims: &str| SubjectToken::from_outside(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims)));
        let server = server();
        for (claims, expected) in [
            (r#"{"aud":"https://issuer.test"}"#, true),
            (r#"{"aud":["https://x.test","https://issuer.test/token"]}"#, true),
            (r#"{"aud":"https://issuer.test/"}"#, false),
            (r#"{"aud":"https://issuer.test.evil.test"}"#, false),
            (r#"{"aud":["https://other.test"]}"#, false),
            (r#"{"aud":7}"#, false),
            (r#"{"iss":"https://issuer.test"}"#, false),
            ("no json", false),
        ] {
            assert_eq!(is_for(&jwt(claims), &server).is_ok(), expected, "{claims}");
        }
        let error = is_for(&SubjectToken::from_outside("opaque"), &server).unwrap_err().to_string();
        assert!(error.contains("`https://issuer.test`") && !error.contains("opaque"), "{error}");
        let error = is_for(&jwt(r#"{"aud":"https://other.test"}"#), &server).unwrap_err().to_string();
        assert!(error.contains("is for `https://other.test`"), "{error}");
    }

    /// CL-54, CL-55: every parameter of the exchange is sent, and a grant of another type is refused.
    #[tokio::test]
    async fn a_login_is_traded_for_a_grant_at_one_issuer() {
        let line = "POST https://idp.test/token";
        let answer = json!({ "access_token": "jag", "token_type": "N_A",
            "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag" });
        let http = Scripted::default().json(line, 200, &answer);
        let scopes = "mcp:read".parse().unwrap();
        let grant = id_jag(&http, &provider("https://idp.test/token"), ISSUER, &resource_id(), Some(&scopes)).await;
        assert_eq!(grant.unwrap().expose(), "jag");
        let form = http.sent()[0].form();
        assert_eq!(form["requested_token_type"], "urn:ietf:params:oauth:token-type:id-jag");
        assert_eq!(form["subject_token_type"], "urn:ietf:params:oauth:token-type:id_token");
        assert_eq!((form["audience"].as_str(), form["resource"].as_str()), (ISSUER, resource_id().as_str()));
        assert_eq!((form["subject_token"].as_str(), form["client_id"].as_str()), ("the login", "us-at-idp"));
        assert_eq!(form["scope"], "mcp:read");

        let other =
            json!({ "access_token": "x", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token" });
        let refused = json!({ "error": "access_denied", "error_description": "not you" });
        for (status, body, expected) in [
            (200, other, "answered with something else than an ID-JAG (status 200)"),
            (400, refused, "access_denied (not you)"),
            (500, json!({}), "(status 500)"),
        ] {
            let http = Scripted::default().json(line, status, &body);
            let error =
                id_jag(&http, &provider("https://idp.test/token"), ISSUER, &resource_id(), None).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let http = Scripted::default();
        let error = id_jag(&http, &provider("http://idp.test/token"), ISSUER, &resource_id(), None).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Endpoint { .. }));
        assert!(http.sent().is_empty());
    }
}
