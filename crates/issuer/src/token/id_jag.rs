//! An identity assertion becomes an access token (draft-ietf-oauth-identity-assertion-authz-grant, RFC 7523 §2.1; enterprise-managed
//! authorization of MCP): a provider says that this client may act for this person at this server, and nobody is asked.
//!
//! What is granted is what the assertion allows, of what is asked for, of what the person may hand on. Whatever is wrong is an error
//! to the client; no assertion ever leads to a consent page.

use std::sync::Arc;

use sekisho_acts::reading;
use sekisho_policy::grant::{grantable, grantable_of};
use sekisho_policy::model::Party;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::openid::identity::{Identity, identity, meets};
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::secret::SubjectToken;
use sekisho_protocol::server::ServerCard;
use sekisho_store::{NewGrant, Tx};
use sekisho_token::{IdJag, IdJagError, IdJagExpectation, PublicKeys, VerifyError, claimed_issuer, verify_id_jag};
use sekisho_web::Visit;
use sekisho_web::parameters::Parameters;

use super::failure::TokenError;
use super::issue::{Basis, Issued, mint};
use crate::assertions::AssertionIssuer;
use crate::clients::authenticate::AuthenticatedClient;
use crate::{Issuer, records};

/// The grant type (RFC 7523 §2.1).
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The parameters that a client sends.
#[derive(Debug)]
struct IdJagRequest {
    assertion: SubjectToken,
    scopes: Option<ScopeSet>,
    resources: Vec<String>,
}

impl IdJagRequest {
    fn read(parameters: &Parameters) -> Result<Self, TokenError> {
        let assertion = parameters.one("assertion").ok_or(TokenError::Missing("assertion"))?;
        Ok(Self {
            assertion: SubjectToken::from_outside(assertion),
            scopes: parameters.one("scope").map(str::parse).transpose().map_err(|_| TokenError::Scope)?,
            resources: parameters.all("resource").map(str::to_owned).collect(),
        })
    }
}

/// A verified assertion, and everything that follows from it without the store.
struct Believed<'i> {
    provider: &'i AssertionIssuer,
    assertion: IdJag,
    identity: Identity,
    server: ServerCard,
    scopes: ScopeSet,
}

/// Judges a request and does what follows from it.
pub(super) async fn perform(
    issuer: &Issuer,
    visit: &Visit,
    client: &AuthenticatedClient,
    parameters: &Parameters,
) -> Result<Issued, TokenError> {
    let request = IdJagRequest::read(parameters)?;
    let believed = believe(issuer, visit, client, &request).await?;
    let mut tx = issuer.site.store.begin().await?;
    let issued = issue(issuer, &mut tx, visit, client, &believed).await?;
    tx.commit().await?;
    Ok(issued)
}

/// Everything that costs no writing: the signature, the claims, the server, the scopes.
async fn believe<'i>(
    issuer: &'i Issuer,
    visit: &Visit,
    client: &AuthenticatedClient,
    request: &IdJagRequest,
) -> Result<Believed<'i>, TokenError> {
    // AS-51: an assertion names its client, so only a client that proved who it is can be the one.
    if client.client().authentication == ClientAuthentication::None {
        return Err(TokenError::Grant("only a client that proves who it is can use an identity assertion"));
    }
    let text = request.assertion.expose();
    let claimed = claimed_issuer(text).unwrap_or_default();
    let trusted = issuer.settings.assertion_issuers.iter().find(|one| one.issuer == claimed);
    let provider = trusted.ok_or(TokenError::Grant("the issuer of the assertion is not trusted for this"))?;
    let expect = IdJagExpectation {
        issuer: &provider.issuer,
        audience: &issuer.site.settings.base_url,
        client: &client.client().id,
        algorithms: &provider.algorithms,
        now: visit.now,
    };
    let check = |keys: &str| {
        let keys = PublicKeys::parse(keys).map_err(|_| IdJagError::Token(VerifyError::UnknownKey))?;
        verify_id_jag(&keys, text, &expect)
    };
    let checked = issuer.assertion_keys.check(&provider.issuer, visit.now, check, IdJagError::lacks_key).await;
    let assertion = match checked {
        Ok(outcome) => outcome.map_err(|error| TokenError::Grant(refusal(error)))?,
        Err(error) => {
            tracing::warn!(request = %visit.request, error = &error as &dyn std::error::Error, "no keys of a provider");
            return Err(TokenError::Grant("the keys of the assertion's issuer are not available at the moment"));
        }
    };
    meets(&provider.require, &assertion.claims)
        .map_err(|_| TokenError::Grant("the person is not one of those whom this provider may let in"))?;
    let named_by: Vec<&str> = provider.named_by.iter().map(String::as_str).collect();
    let identity = identity(&provider.issuer, &named_by, &assertion.claims)
        .map_err(|_| TokenError::Grant("the assertion does not name the person in the claims of the configuration"))?;
    let server = target(issuer, &assertion, &request.resources)?;
    // Nobody was told on a page that their linked account would be used.
    let scopes =
        assertion.granted(request.scopes.as_ref()).without(&Scope::offline_access()).without(&Scope::account());
    if scopes.is_empty() {
        return Err(TokenError::Scope);
    }
    Ok(Believed { provider, assertion, identity, server, scopes })
}

/// What a client is told of an assertion that is not good (RFC 7521 §4.1.1). Of its signature and its keys only that.
fn refusal(error: IdJagError) -> &'static str {
    match error {
        IdJagError::Client => "the assertion was made for another client",
        IdJagError::Confirmation => "the assertion is bound to a key, which is not supported here",
        IdJagError::Resource => "the assertion names no server",
        IdJagError::Scope => "the scopes of the assertion cannot be read",
        IdJagError::Token(VerifyError::Audience) => "the assertion was made for another authorization server",
        IdJagError::Token(VerifyError::Type) => "this is not an identity assertion: its type is another one",
        IdJagError::Token(_) => "the assertion is not good, or not good at this time",
    }
}

/// The server that is meant: the one that the assertion names, is asked for if anything is, and is here (AS-52).
fn target(issuer: &Issuer, assertion: &IdJag, asked: &[String]) -> Result<ServerCard, TokenError> {
    let asked: Vec<ResourceId> =
        asked.iter().map(|one| ResourceId::parse(one)).collect::<Result<_, _>>().map_err(|_| TokenError::Target)?;
    let servers = Arc::clone(&issuer.site.servers.borrow());
    let meant = assertion.resources.iter().filter(|named| asked.iter().all(|asked| asked == *named));
    let mut found: Vec<&ServerCard> = meant.filter_map(|named| servers.of_resource(named)).collect();
    found.dedup_by(|one, other| one.name == other.name);
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        _ => Err(TokenError::Target),
    }
}

/// Uses the assertion up, and grants what is left of it. All of it or nothing.
async fn issue(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    client: &AuthenticatedClient,
    believed: &Believed<'_>,
) -> Result<Issued, TokenError> {
    let client = &client.client().id;
    let Believed { provider, assertion, server, .. } = believed;
    let unknown = TokenError::Grant("the person is not known here, or may not come in: they have to be added first");
    let user = tx.identities().sign_in(&believed.identity, visit.now).await?.ok_or(unknown)?;
    let subject = Subject::User(user);
    let scopes = {
        let rights = Arc::clone(&issuer.rights.borrow());
        let known = reading::tools(tx, Some(&server.classes), &server.name).await?;
        let most = grantable(&rights, Party { subject: &subject, client }, &server.name, &known, visit.now);
        grantable_of(&believed.scopes, &most)
    };
    if scopes.is_empty() {
        return Err(TokenError::Scope);
    }
    // AS-54. The name has no room for a client's own assertions: an identifier of a client has no line break.
    let jti = Digest::of(assertion.jti.as_bytes());
    let kept_for = format!("identity assertion\n{}", provider.issuer);
    if !tx.assertions().take(&kept_for, &jti, assertion.exp, visit.now).await? {
        return Err(TokenError::Grant("the assertion was used before"));
    }
    let seconds = issuer.settings.access_token_ttl_seconds;
    let new = NewGrant {
        id: GrantId::generate(visit.now, &*issuer.site.entropy),
        subject: subject.clone(),
        client: client.clone(),
        server: server.name.clone(),
        resource: server.resource.as_str().to_owned(),
        scopes: scopes.clone(),
        path: ActorPath::direct(client.clone()),
        parent: None,
        task: None,
        created_at: visit.now,
        // There is no refresh token: the provider is asked again for the next assertion, and can say no.
        expires_at: Some(after(visit.now, seconds)),
    };
    tx.grants().insert(&new).await?;
    tx.clients().touch(client, visit.now).await?;
    let basis = Basis {
        grant: new.id,
        epoch: 0,
        subject: &subject,
        client,
        path: &new.path,
        resource: &new.resource,
        task: None,
        scopes: &scopes,
        ends: new.expires_at,
    };
    let access = mint(issuer, visit, &basis)?;
    let entry = Act {
        subject: Some(subject.clone()),
        client: Some(client.clone()),
        server: Some(server.name.clone()),
        grant: Some(new.id),
        scopes: scopes.clone(),
        detail: format!("identity assertion of `{}`", provider.name),
        ..Act::new(Actor::Client, ActKind::TokenIssued)
    };
    records::append(issuer, tx, visit, entry).await?;
    Ok(Issued { access, refresh: None, scopes, details: None, expires_in_seconds: seconds, kind: None })
}
