//! Accounts that people link at vendors: the code flow at a vendor's authorization server, the tokens that come of it,
//! their refresh and their end (OAuth 2.1 §4.1 and §4.3, RFC 7009, RFC 8707).
//!
//! A vendor may be the authorization server of an MCP server, which is discovered ([`describe`]), or any OAuth 2.0
//! server whose endpoints the configuration names. The tokens keep the endpoint at which they were granted: they are
//! refreshed there and nowhere else, whatever a server's metadata say later (ATK-87).

use std::fmt::{self, Debug};

use jiff::Timestamp;
use sekisho_protocol::account::{AccountLookup, OAuthVendor, VendorEndpoints};
use sekisho_protocol::env::{Entropy, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::oauth_error::OauthErrorBody;
use sekisho_protocol::pkce::{CodeChallenge, generate_verifier};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::{AccessToken, ClientSecret, CodeVerifier, CsrfToken, RefreshToken};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::authorization::{Awaited, FinishError, read_answer};
use crate::challenge::bearer;
use crate::discovery::{IssuerError, ResourceError, discover_any_issuer, discover_resource, select_scopes};
use crate::http::{Destination, HttpClient, HttpError, Named, Request, Response};
use crate::registration::{ApplicationType, RegistrationError, RegistrationRequest, register};
use crate::text::{code as error_code, presentable};

mod kept;

/// How long the name of an account may be, in characters.
const NAME_CHARS_MAX: usize = 120;
/// The longest key or token, in bytes. It has to fit into a header.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// An endpoint at which tokens are granted and refreshed, and the client that asks there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorEndpoint {
    /// The issuer, or the origin of the token endpoint if there is no metadata.
    pub issuer: String,
    /// The authorization endpoint.
    pub authorization: String,
    /// The token endpoint.
    pub token: String,
    /// The revocation endpoint, if there is one.
    pub revocation: Option<String>,
    /// The client.
    pub client: ClientId,
    /// Its secret, if it has one.
    pub secret: Option<ClientSecret>,
    /// How it authenticates.
    pub authentication: ClientAuthentication,
    /// Whether the vendor announced `iss` in its answers (RFC 9207).
    pub iss_required: bool,
    /// The resource that is named in every request (RFC 8707). Vendors that are no MCP servers know none.
    pub resource: Option<String>,
    /// The scopes to ask for, as the vendor writes them.
    pub scopes: Option<String>,
}

/// The tokens of an account, or the key that a person pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountTokens {
    /// The access token or the key.
    pub access: AccessToken,
    /// The refresh token, if the vendor gave one.
    pub refresh: Option<RefreshToken>,
    /// When the access token ends, if the vendor said so.
    pub expires: Option<Timestamp>,
    /// The granted scopes, as the vendor wrote them.
    pub scopes: Option<String>,
    /// Where the tokens were granted. `None`: a key.
    pub endpoint: Option<VendorEndpoint>,
}

/// A request under way: what was sent, and what the answer is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct VendorRequest {
    state: CsrfToken,
    verifier: CodeVerifier,
    redirect_uri: String,
    endpoint: VendorEndpoint,
}

/// Why a vendor gives no token.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// The answer is not used.
    #[error(transparent)]
    Answer(#[from] FinishError),
    /// The authorization endpoint is not a URL that a browser may be sent to (ATK-86).
    #[error("the vendor's authorization endpoint is not an https URL")]
    Endpoint,
    /// The exchange failed. Whether a code or refresh token was used is not known.
    #[error("the vendor could not be asked")]
    Http(#[source] HttpError),
    /// The vendor's metadata cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The response is not a token response.
    #[error("the vendor answered with something else than a token (status {status})")]
    Malformed {
        /// The HTTP status.
        status: u16,
    },
    /// The vendor's metadata do not announce PKCE with S256 (CL-29).
    #[error("the vendor does not say that it supports PKCE with S256: linking an account there would not be safe")]
    Pkce,
    /// The vendor refused.
    #[error("the vendor refuses: {code} ({description})")]
    Refused {
        /// The error code, such as `invalid_grant`.
        code: String,
        /// The vendor's description of the error, made presentable.
        description: String,
    },
    /// No client could be registered.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The server's metadata cannot be used.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The vendor takes no tokens back.
    #[error("the vendor takes no tokens back")]
    NotOffered,
}

impl VendorError {
    /// Whether the vendor itself refused, so that asking again would not help.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Who asks at a vendor that is not described yet.
#[derive(Debug, Clone, Copy)]
pub struct AskingClient<'a> {
    /// The name to register under.
    pub name: &'a str,
    /// Where the answers of this vendor arrive. Each server has its own (ATK-83).
    pub redirect_uri: &'a RedirectUri,
    /// The metadata document of this checkpoint, if it is reachable for vendors.
    pub document: Option<&'a ClientId>,
}

/// Finds out where the endpoints of a vendor are, and as which client it is asked. `known` is a client that registered
/// itself before, by issuer; what is returned may be another one.
pub async fn describe(
    http: &dyn HttpClient,
    vendor: &OAuthVendor,
    asking: AskingClient<'_>,
    known: Option<(&str, &AccountClient)>,
) -> Result<VendorEndpoint, VendorError> {
    match &vendor.endpoints {
        VendorEndpoints::Given { authorization, token, revocation } => {
            let client =
                vendor.client.as_ref().ok_or_else(|| RegistrationError::NotOffered { issuer: token.clone() })?;
            let secret = client.secret.clone();
            Ok(VendorEndpoint {
                issuer: origin(token),
                authorization: authorization.clone(),
                token: token.clone(),
                revocation: revocation.clone(),
                client: client.id.clone(),
                authentication: match &secret {
                    Some(_) => ClientAuthentication::ClientSecretPost,
                    None => ClientAuthentication::None,
                },
                secret,
                iss_required: false,
                resource: None,
                scopes: vendor.scopes.clone(),
            })
        }
        VendorEndpoints::Discovered { server } => discovered(http, (vendor, server), asking, known).await,
    }
}

/// A client that registered itself at an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountClient {
    /// Its identifier.
    pub id: ClientId,
    /// Its secret, if the issuer gave one.
    pub secret: Option<ClientSecret>,
    /// How it authenticates.
    pub authentication: ClientAuthentication,
}

async fn discovered(
    http: &dyn HttpClient,
    (vendor, server): (&OAuthVendor, &str),
    asking: AskingClient<'_>,
    known: Option<(&str, &AccountClient)>,
) -> Result<VendorEndpoint, VendorError> {
    let resource = ResourceId::parse(server).map_err(|_| VendorError::Endpoint)?;
    // RFC 9728 §5: the server says in its 401 where its metadata are, and what it needs.
    let challenge = http.send(Request::get(Destination::given(server))).await.ok();
    let challenge = challenge.filter(|answer| answer.status.as_u16() == 401).and_then(|answer| bearer(&answer.headers));
    let described = discover_resource(http, &resource, challenge.as_ref()).await?;
    let issuer = discover_any_issuer(http, &described).await?;
    if !issuer.code_challenge_methods_supported.iter().any(|method| method == CodeChallenge::METHOD) {
        return Err(VendorError::Pkce);
    }
    let wished = || select_scopes(challenge.as_ref(), &described, &issuer).map(|scopes| scopes.to_string());
    let scopes = vendor.scopes.clone().or_else(wished);
    let client = client(http, vendor, (&issuer, scopes.as_deref()), asking, known).await?;
    Ok(VendorEndpoint {
        issuer: issuer.issuer.clone(),
        authorization: issuer.authorization_endpoint.clone(),
        token: issuer.token_endpoint.clone(),
        revocation: issuer.revocation_endpoint.clone(),
        client: client.id,
        secret: client.secret,
        authentication: client.authentication,
        iss_required: issuer.authorization_response_iss_parameter_supported,
        resource: Some(described.resource),
        scopes,
    })
}

/// The client, in the order of CL-11: the configured one, one that registered itself before, the metadata document, a
/// new registration.
async fn client(
    http: &dyn HttpClient,
    vendor: &OAuthVendor,
    (issuer, scopes): (&AuthorizationServer, Option<&str>),
    asking: AskingClient<'_>,
    known: Option<(&str, &AccountClient)>,
) -> Result<AccountClient, VendorError> {
    if let Some(client) = &vendor.client {
        let methods = &issuer.token_endpoint_auth_methods_supported;
        let takes_post = methods.iter().any(|method| method == ClientAuthentication::ClientSecretPost.as_str());
        let authentication = match &client.secret {
            None => ClientAuthentication::None,
            Some(_) if takes_post => ClientAuthentication::ClientSecretPost,
            // RFC 8414 §2: what a server without the member supports.
            Some(_) => ClientAuthentication::ClientSecretBasic,
        };
        return Ok(AccountClient { id: client.id.clone(), secret: client.secret.clone(), authentication });
    }
    if let Some((at, client)) = known
        && at == issuer.issuer
    {
        return Ok(client.clone());
    }
    if let Some(document) = asking.document.filter(|_| issuer.client_id_metadata_document_supported) {
        return Ok(AccountClient { id: document.clone(), secret: None, authentication: ClientAuthentication::None });
    }
    let request = RegistrationRequest {
        client_name: asking.name.to_owned(),
        redirect_uris: vec![asking.redirect_uri.clone()],
        application_type: ApplicationType::Web,
        scope: scopes.and_then(|scopes| scopes.parse().ok()),
    };
    let registered = register(http, issuer, &request).await?;
    Ok(AccountClient { id: registered.client, secret: registered.secret, authentication: registered.authentication })
}

/// Prepares to send a browser to the vendor. Returns the URL, which contains `state` and must not be logged, and the
/// request, which belongs to that browser and may be used once; the caller has to ensure both.
pub fn begin(
    vendor: &OAuthVendor,
    endpoint: VendorEndpoint,
    redirect_uri: &RedirectUri,
    entropy: &dyn Entropy,
) -> Result<(String, VendorRequest), VendorError> {
    let by = &endpoint.token;
    let named = Destination::named(Named::AuthorizationEndpoint, by, &endpoint.authorization);
    let mut url = named.ok().and_then(|named| Url::parse(named.as_str()).ok()).ok_or(VendorError::Endpoint)?;
    let (state, verifier) = (CsrfToken::generate(entropy), generate_verifier(entropy));
    let mut pairs = url.query_pairs_mut();
    pairs
        .append_pair("response_type", "code")
        .append_pair("client_id", endpoint.client.as_str())
        .append_pair("redirect_uri", redirect_uri.as_str())
        .append_pair("state", state.expose())
        .append_pair("code_challenge", CodeChallenge::of(&verifier).as_str())
        .append_pair("code_challenge_method", CodeChallenge::METHOD);
    if let Some(resource) = &endpoint.resource {
        pairs.append_pair("resource", resource);
    }
    if let Some(scopes) = &endpoint.scopes {
        pairs.append_pair("scope", scopes);
    }
    for (name, value) in &vendor.parameters {
        pairs.append_pair(name, value);
    }
    drop(pairs);
    let request = VendorRequest { state, verifier, redirect_uri: redirect_uri.as_str().to_owned(), endpoint };
    Ok((url.into(), request))
}

impl VendorRequest {
    /// The secret with which the answer comes back.
    pub fn state(&self) -> &CsrfToken {
        &self.state
    }

    /// The vendor's issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.endpoint.issuer
    }
}

impl Debug for VendorRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VendorRequest").field("issuer", &self.endpoint.issuer).finish_non_exhaustive()
    }
}

/// Checks the URL to which the browser was sent back, and exchanges the code. The code goes to the endpoint of the
/// request and to no other (ATK-83).
pub async fn finish(
    http: &dyn HttpClient,
    vendor: &OAuthVendor,
    request: &VendorRequest,
    redirected: &str,
    now: Timestamp,
) -> Result<AccountTokens, VendorError> {
    let VendorRequest { state, verifier, redirect_uri, endpoint } = request;
    let iss_required = endpoint.iss_required;
    let answer = read_answer(Awaited { redirect_uri, state, issuer: &endpoint.issuer, iss_required }, redirected)?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", answer.code.expose()),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier.expose()),
    ];
    let response = post(http, endpoint, (&endpoint.token, Named::TokenEndpoint), &form).await?;
    tokens(&response, endpoint, vendor.token_member.as_deref(), now)
}

/// Exchanges the refresh token for new tokens. If there is no new refresh token, the old one stays (RFC 6749 §6).
///
/// Nothing is repeated here: a vendor may treat a repetition as a theft, so the caller decides.
pub async fn refresh(
    http: &dyn HttpClient,
    before: &AccountTokens,
    now: Timestamp,
) -> Result<AccountTokens, VendorError> {
    let (Some(endpoint), Some(refresh)) = (&before.endpoint, &before.refresh) else {
        return Err(VendorError::NotOffered);
    };
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
    let response = post(http, endpoint, (&endpoint.token, Named::TokenEndpoint), &form).await?;
    // Also a vendor that wraps a person's first tokens gives the next ones as the response itself.
    let renewed = tokens(&response, endpoint, None, now)?;
    Ok(AccountTokens {
        refresh: renewed.refresh.or_else(|| before.refresh.clone()),
        scopes: renewed.scopes.or_else(|| before.scopes.clone()),
        ..renewed
    })
}

/// Gives the tokens back (RFC 7009).
pub async fn revoke(http: &dyn HttpClient, tokens: &AccountTokens) -> Result<(), VendorError> {
    let Some(endpoint) = &tokens.endpoint else { return Err(VendorError::NotOffered) };
    let Some(url) = &endpoint.revocation else { return Err(VendorError::NotOffered) };
    let (token, hint) = match &tokens.refresh {
        Some(refresh) => (refresh.expose(), "refresh_token"),
        None => (tokens.access.expose(), "access_token"),
    };
    let form = [("token", token), ("token_type_hint", hint)];
    let response = post(http, endpoint, (url, Named::RevocationEndpoint), &form).await?;
    if response.status.is_success() { Ok(()) } else { Err(refusal(&response)) }
}

/// Why the name of an account is not known.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The exchange failed.
    #[error("the vendor could not be asked whose account it is")]
    Http(#[source] HttpError),
    /// There is no name in the answer.
    #[error("the vendor's answer does not say whose account it is")]
    Nameless,
    /// The vendor does not accept the key or token.
    #[error("the vendor does not accept it (status {status})")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
}

/// Asks the vendor whose account a key or token is for, by one harmless request.
pub async fn whose(http: &dyn HttpClient, lookup: &AccountLookup, token: &AccessToken) -> Result<String, LookupError> {
    let value = Zeroizing::new(format!("{}{}", lookup.prefix, token.expose()));
    let mut request = Request::get(Destination::given(&lookup.url));
    let name = ::http::HeaderName::from_bytes(lookup.header.as_bytes()).ok();
    let header = name.zip(::http::HeaderValue::from_str(&value).ok());
    let Some((name, mut value)) = header else { return Err(LookupError::Refused { status: 400 }) };
    value.set_sensitive(true);
    request.headers.insert(name, value);
    let response = http.send(request).await.map_err(LookupError::Http)?;
    let status = response.status.as_u16();
    if !response.status.is_success() {
        return Err(LookupError::Refused { status });
    }
    let found = response.json::<Value>().and_then(|body| {
        Some(match body.pointer(&lookup.name)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        })
    });
    let name: Option<String> = found.map(|name| presentable(&name).chars().take(NAME_CHARS_MAX).collect());
    name.filter(|name| !name.trim().is_empty()).ok_or(LookupError::Nameless)
}

async fn post(
    http: &dyn HttpClient,
    endpoint: &VendorEndpoint,
    (url, named): (&str, Named),
    form: &[(&str, &str)],
) -> Result<Response, VendorError> {
    let to = Destination::named(named, &endpoint.token, url).map_err(VendorError::Http)?;
    let mut fields = form.to_vec();
    if let Some(resource) = endpoint.resource.as_deref().filter(|_| named == Named::TokenEndpoint) {
        fields.push(("resource", resource));
    }
    let mut basic = None;
    match (endpoint.authentication, &endpoint.secret) {
        (ClientAuthentication::ClientSecretBasic, Some(secret)) => basic = Some(secret),
        (ClientAuthentication::ClientSecretPost, Some(secret)) => {
            fields.extend([("client_id", endpoint.client.as_str()), ("client_secret", secret.expose())]);
        }
        _ => fields.push(("client_id", endpoint.client.as_str())),
    }
    let mut request = Request::post_form(to, fields);
    if let Some(secret) = basic {
        request = request.basic(&endpoint.client, secret);
    }
    http.send(request).await.map_err(VendorError::Http)
}

/// The members of a token response that are used. GitHub answers a refusal with status 200 and `error`.
#[derive(Deserialize)]
struct TokenResponse {
    access_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    scope: Option<String>,
}

fn tokens(
    response: &Response,
    endpoint: &VendorEndpoint,
    member: Option<&str>,
    now: Timestamp,
) -> Result<AccountTokens, VendorError> {
    let status = response.status.as_u16();
    let malformed = || VendorError::Malformed { status };
    if status != 200 {
        return Err(refusal(response));
    }
    let mut body: Value = response.json().ok_or_else(malformed)?;
    if body.get("error").is_some() {
        return Err(refusal(response));
    }
    if let Some(member) = member {
        body = body.get_mut(member).map(Value::take).ok_or_else(malformed)?;
    }
    let granted: TokenResponse = serde_json::from_value(body).map_err(|_| malformed())?;
    let is_token = |token: &String| {
        !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let access = granted.access_token.filter(is_token).ok_or_else(malformed)?;
    let expires = granted.expires_in.as_ref().and_then(seconds);
    Ok(AccountTokens {
        access: AccessToken::from_outside(access),
        refresh: granted.refresh_token.filter(|token| !token.is_empty()).map(RefreshToken::from_outside),
        expires: expires.map(|seconds| after(now, seconds)),
        scopes: granted.scope,
        endpoint: Some(endpoint.clone()),
    })
}

/// `expires_in` as a whole number, a fraction, or either as text. Anything else counts as missing; see the same function
/// of `token.rs`.
fn seconds(value: &Value) -> Option<u32> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was brought into the range before")]
    number.filter(|number: &f64| number.is_finite()).map(|number| number.clamp(0.0, f64::from(u32::MAX)) as u32)
}

fn refusal(response: &Response) -> VendorError {
    let status = response.status.as_u16();
    match response.json::<OauthErrorBody>() {
        Some(error) if status < 500 => VendorError::Refused {
            code: error_code(&error.error),
            description: presentable(&error.error_description.unwrap_or_default()),
        },
        _ => VendorError::Malformed { status },
    }
}

/// The origin of a URL, which names a vendor without metadata.
fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests;
