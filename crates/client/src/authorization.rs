//! The authorization request and what comes back from it (OAuth 2.1 §4.1, RFC 7636, RFC 8707, RFC 9207). Pure.

use std::fmt::{self, Debug};

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Entropy;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::pkce::{CodeChallenge, generate_verifier};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AuthorizationCode, CodeVerifier, CsrfToken};
use url::Url;

use crate::http::{Destination, HttpError, Named};
use crate::registration::Registration;
use crate::text::{code, presentable};

/// What an authorization request asks for.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationParameters<'a> {
    /// The resource identifier of the server, as the server's metadata spells it (CL-21).
    pub resource: &'a ResourceId,
    /// Where the answer is to arrive: one of the registered redirect URIs; the port may differ.
    pub redirect_uri: &'a RedirectUri,
    /// The scopes that are asked for; `None` leaves them to the issuer (CL-22).
    pub scopes: Option<&'a ScopeSet>,
    /// Whether a person registered the client. If so, an error shows its redirect URI, so that the person can compare
    /// it.
    pub by_hand: bool,
}

/// How many digits of the digest a path contains: 128 bits, so that no attacker finds an issuer with the same path.
const PATH_DIGITS: usize = 32;

/// Returns the path at which the answers of this issuer arrive. Every issuer has its own path (RFC 9700 §4.4.2): an
/// honest issuer, at which only that path is registered, sends no answer to the path of a hostile one.
pub fn redirect_path(issuer: &str) -> String {
    let digest = Digest::of_list(&[b"redirect path of an issuer", issuer.as_bytes()]).to_string();
    format!("{SHARED_PATH}/{}", digest.chars().take(PATH_DIGITS).collect::<String>())
}

/// The path for clients with a metadata document, which is the same for every issuer. It is used only at issuers that
/// send `iss` (RFC 9207).
pub const SHARED_PATH: &str = "/callback";

/// A request under way: what was sent, and what the answer is checked against (CL-31).
#[derive(Clone)]
pub struct AuthorizationRequest {
    url: String,
    state: CsrfToken,
    verifier: CodeVerifier,
    issuer: String,
    iss_required: bool,
    redirect_uri: RedirectUri,
    resource: ResourceId,
    scopes: Option<ScopeSet>,
    by_hand: Option<ClientId>,
}

/// An answer that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationAnswer {
    /// The authorization code.
    pub code: AuthorizationCode,
    /// Whether the answer contained `iss` (RFC 9207).
    pub names_issuer: bool,
}

/// Why no authorization request was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// The endpoint is not a URL that a browser may be sent to (CL-46, ATK-86).
    #[error("the authorization endpoint of `{issuer}` is not an https URL")]
    Endpoint {
        /// The issuer.
        issuer: String,
    },
    /// The registration belongs to another issuer (CL-18, CL-19).
    #[error("the client is registered at `{registered}`, not at `{issuer}`: register it there")]
    OtherIssuer {
        /// The issuer that was to be asked.
        issuer: String,
        /// The issuer at which the client is registered.
        registered: String,
    },
    /// The metadata does not announce PKCE with S256 (CL-29).
    #[error("`{issuer}` does not say that it supports PKCE with S256: logging in there would not be safe")]
    Pkce {
        /// The issuer.
        issuer: String,
    },
    /// The redirect URI was not registered (CL-35).
    #[error("the redirect URI was not registered")]
    Redirect,
}

/// Why an answer is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// The answer arrived at another address than the redirect URI.
    #[error("the answer did not arrive at the redirect URI")]
    Elsewhere,
    /// `iss` names another issuer (CL-32). Nothing else from the answer is shown (CL-34).
    #[error("the answer does not come from the authorization server that was asked")]
    Issuer,
    /// A parameter occurs twice, or there is neither a code nor an error.
    #[error("the answer is not an authorization response")]
    Malformed,
    /// The issuer, or the person there, refused.
    #[error("access was not given: {code} ({description})")]
    Refused {
        /// The error code, such as `access_denied`.
        code: String,
        /// The issuer's description of the error, made presentable.
        description: String,
    },
    /// `state` is not the one that was sent (CL-30): the answer belongs to another request, or is forged.
    #[error("the answer belongs to another login: begin again")]
    State,
    /// `iss` is missing, although this issuer is known to send it (CL-32).
    #[error(
        "`{issuer}` is known to send `iss` in its answers (RFC 9207), and this answer has none: another authorization server may have sent it. If the operator says that it stopped sending `iss`, run `sekisho forget issuer '{issuer}'` and log in again"
    )]
    Unnamed {
        /// The issuer that was asked.
        issuer: String,
    },
}

/// Prepares to send a person to the issuer. The result contains everything that the answer is checked against.
pub fn begin(
    server: &AuthorizationServer,
    registration: &Registration,
    wish: AuthorizationParameters<'_>,
    entropy: &dyn Entropy,
) -> Result<AuthorizationRequest, BeginError> {
    let issuer = server.issuer.clone();
    if registration.issuer != issuer {
        return Err(BeginError::OtherIssuer { issuer, registered: registration.issuer.clone() });
    }
    if !server.code_challenge_methods_supported.iter().any(|method| method == CodeChallenge::METHOD) {
        return Err(BeginError::Pkce { issuer });
    }
    if !registration.redirect_uris.iter().any(|registered| registered.admits(wish.redirect_uri.as_str())) {
        return Err(BeginError::Redirect);
    }
    let endpoint = &server.authorization_endpoint;
    let named = Destination::named(Named::AuthorizationEndpoint, &issuer, endpoint).ok();
    let parsed = named.and_then(|named| Url::parse(named.as_str()).ok());
    let Some(mut url) = parsed else { return Err(BeginError::Endpoint { issuer }) };
    let verifier = generate_verifier(entropy);
    let state = CsrfToken::generate(entropy);
    let mut pairs = url.query_pairs_mut();
    pairs
        .append_pair("response_type", "code")
        .append_pair("client_id", registration.client.as_str())
        .append_pair("redirect_uri", wish.redirect_uri.as_str())
        .append_pair("state", state.expose())
        .append_pair("code_challenge", CodeChallenge::of(&verifier).as_str())
        .append_pair("code_challenge_method", CodeChallenge::METHOD)
        .append_pair("resource", wish.resource.as_str());
    if let Some(scopes) = wish.scopes {
        pairs.append_pair("scope", &scopes.to_string());
    }
    drop(pairs);
    Ok(AuthorizationRequest {
        url: url.into(),
        state,
        verifier,
        issuer,
        iss_required: server.authorization_response_iss_parameter_supported,
        redirect_uri: wish.redirect_uri.clone(),
        resource: wish.resource.clone(),
        scopes: wish.scopes.cloned(),
        by_hand: wish.by_hand.then(|| registration.client.clone()),
    })
}

/// Checks the URL to which the browser was sent back, and takes the code out of it. A forged answer leaves the request
/// unchanged, so that the true answer can still arrive.
pub fn finish(request: &AuthorizationRequest, redirected: &str) -> Result<AuthorizationAnswer, FinishError> {
    let awaited = Awaited {
        redirect_uri: request.redirect_uri.as_str(),
        state: &request.state,
        issuer: &request.issuer,
        iss_required: request.iss_required,
    };
    read_answer(awaited, redirected)
}

/// What an answer is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Awaited<'a> {
    pub(crate) redirect_uri: &'a str,
    pub(crate) state: &'a CsrfToken,
    pub(crate) issuer: &'a str,
    pub(crate) iss_required: bool,
}

/// Returns the code from the URL to which the browser was sent back, if the URL is the expected answer.
pub(crate) fn read_answer(awaited: Awaited<'_>, redirected: &str) -> Result<AuthorizationAnswer, FinishError> {
    let (base, query) = redirected.split_once('?').unwrap_or((redirected, ""));
    if base != awaited.redirect_uri || query.contains('#') {
        return Err(FinishError::Elsewhere);
    }
    let answer = Answer::read(query)?;
    // `CsrfToken` compares in constant time.
    if answer.state.map(CsrfToken::from_outside).as_ref() != Some(awaited.state) {
        return Err(FinishError::State);
    }
    // CL-32, CL-33: the decoded text is compared as it is. Only an issuer that never announced `iss` may leave it out.
    let names_issuer = match answer.iss {
        Some(iss) if iss == awaited.issuer => true,
        Some(_) => return Err(FinishError::Issuer),
        None if awaited.iss_required => return Err(FinishError::Unnamed { issuer: awaited.issuer.to_owned() }),
        None => false,
    };
    if let Some(error) = answer.error {
        let description = presentable(&answer.error_description.unwrap_or_default());
        return Err(FinishError::Refused { code: code(&error), description });
    }
    match answer.code {
        Some(code) if !code.is_empty() => {
            Ok(AuthorizationAnswer { code: AuthorizationCode::from_outside(code), names_issuer })
        }
        _ => Err(FinishError::Malformed),
    }
}

/// The parameters of an answer, form-decoded.
#[derive(Default)]
struct Answer {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Answer {
    /// Reads the answer. A parameter that occurs twice is refused: two programs can read it differently (OAuth 2.1
    /// §4.1.2).
    fn read(query: &str) -> Result<Self, FinishError> {
        let mut answer = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let place = match name.as_ref() {
                "code" => &mut answer.code,
                "state" => &mut answer.state,
                "iss" => &mut answer.iss,
                "error" => &mut answer.error,
                "error_description" => &mut answer.error_description,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(FinishError::Malformed);
            }
        }
        Ok(answer)
    }
}

impl AuthorizationRequest {
    /// Where to send the person. Holds `state`, so it is not for logs.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the same URL as a destination for a request of our own, named by the issuer.
    pub fn destination(&self) -> Result<Destination, HttpError> {
        Destination::named(Named::AuthorizationEndpoint, &self.issuer, &self.url)
    }

    /// The issuer that was asked, from its validated metadata.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The server that the token will be for.
    pub fn resource(&self) -> &ResourceId {
        &self.resource
    }

    /// Where the answer arrives.
    pub fn redirect_uri(&self) -> &RedirectUri {
        &self.redirect_uri
    }

    /// The scopes that were asked for, if any were named.
    pub fn scopes(&self) -> Option<&ScopeSet> {
        self.scopes.as_ref()
    }

    /// The client identifier, if a person registered the client.
    pub fn by_hand(&self) -> Option<&ClientId> {
        self.by_hand.as_ref()
    }

    /// The PKCE verifier, for the token request.
    pub fn verifier(&self) -> &CodeVerifier {
        &self.verifier
    }
}

impl Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("issuer", &self.issuer)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
