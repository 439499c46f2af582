//! From `credential` in a server's table to what the gateway and the pages work with. What is wrong with one was told
//! before, by `sekisho check` and at start.

use std::ffi::OsString;
use std::time::Duration;

use axum::http::HeaderName;
use sekisho_gateway::{CredentialPlace, CredentialSettings, SecretCommand};
use sekisho_protocol::account::profile::VendorProfile;
use sekisho_protocol::account::{AccountLookup, AccountRule, AccountWay, OAuthVendor, VendorClient, VendorEndpoints};
use sekisho_protocol::ids::{ClientId, ServerName};
use sekisho_protocol::secret::{ClientSecret, UpstreamSecret};

use super::filling::filled;
use crate::config::{CredentialDefinition, CredentialKind, Filled, LinkWay, ServerDefinition};
use crate::error::CommandError;
use crate::os;

/// How long what a command printed is used, in seconds, where its credential says nothing of it.
const LIFETIME_SECONDS: u32 = 300;
/// How long a command may take, in seconds, where its credential says nothing of it.
const TIMEOUT_SECONDS: u32 = 10;

/// The secret header that the configuration itself gives a URL.
pub(super) fn fixed_header(
    name: &ServerName,
    definition: &ServerDefinition,
) -> Result<Option<(HeaderName, UpstreamSecret)>, CommandError> {
    let Some((credential, value)) = fixed(definition) else { return Ok(None) };
    let (header, prefix) = credential.header();
    let value = filled(&whose(name), value, Filled::Value)?;
    Ok(Some((header_name(name, header)?, UpstreamSecret::from_outside(format!("{prefix}{value}")))))
}

/// The secret variable that the configuration itself gives a program.
pub(super) fn fixed_variable(
    name: &ServerName,
    definition: &ServerDefinition,
) -> Result<Option<(String, UpstreamSecret)>, CommandError> {
    let Some((credential, value)) = fixed(definition) else { return Ok(None) };
    let value = filled(&whose(name), value, Filled::Value)?;
    Ok(credential.variable.clone().map(|variable| (variable, UpstreamSecret::from_outside(value))))
}

fn fixed(definition: &ServerDefinition) -> Option<(&CredentialDefinition, &str)> {
    let credential = definition.credential.as_ref().filter(|credential| credential.kind == CredentialKind::Secret)?;
    Some((credential, credential.value.as_deref()?))
}

/// What the upstream is shown that the configuration itself does not give.
pub(super) fn settings(name: &ServerName, definition: &ServerDefinition) -> Result<CredentialSettings, CommandError> {
    let Some(credential) = &definition.credential else { return Ok(CredentialSettings::None) };
    match credential.kind {
        CredentialKind::Linked => Ok(CredentialSettings::Account(place(name, definition, credential)?)),
        CredentialKind::Secret if !credential.command.is_empty() => Ok(CredentialSettings::Command {
            place: place(name, definition, credential)?,
            command: command(name, definition, credential)?,
        }),
        CredentialKind::None | CredentialKind::Secret => Ok(CredentialSettings::None),
    }
}

fn place(
    name: &ServerName,
    definition: &ServerDefinition,
    credential: &CredentialDefinition,
) -> Result<CredentialPlace, CommandError> {
    if definition.url.is_none() {
        let variable = credential.variable.clone();
        return variable.map(CredentialPlace::Variable).ok_or_else(|| wrong(name, "a program needs `variable`"));
    }
    let (header, prefix) = credential.header();
    Ok(CredentialPlace::Header { name: header_name(name, header)?, prefix: prefix.to_owned() })
}

fn command(
    name: &ServerName,
    definition: &ServerDefinition,
    credential: &CredentialDefinition,
) -> Result<SecretCommand, CommandError> {
    let (program, arguments) =
        credential.command.split_first().ok_or_else(|| wrong(name, "a secret needs `value` or `command`"))?;
    let arguments = arguments.iter().map(|word| filled(&whose(name), word, Filled::Word).map(OsString::from));
    let is_given =
        |name: &String, value: &String| os::is_inherited(name, value) || credential.pass.iter().any(|own| own == name);
    let seconds = |given: Option<u32>, usual| Duration::from_secs(u64::from(given.unwrap_or(usual)));
    Ok(SecretCommand {
        program: program.into(),
        arguments: arguments.collect::<Result<_, _>>()?,
        environment: os::variables().into_iter().filter(|(name, value)| is_given(name, value)).collect(),
        lifetime: seconds(credential.lifetime_seconds, LIFETIME_SECONDS),
        timeout: seconds(credential.timeout_seconds, TIMEOUT_SECONDS),
        directory: definition.directory.clone(),
    })
}

/// The accounts that people link for the server.
pub(super) fn account(name: &ServerName, definition: &ServerDefinition) -> Result<Option<AccountRule>, CommandError> {
    let credential = definition.credential.as_ref().filter(|credential| credential.kind == CredentialKind::Linked);
    let Some(credential) = credential else { return Ok(None) };
    let profile = credential.vendor_profile();
    let vendor = credential.vendor.clone().or_else(|| profile.map(|profile| profile.vendor.to_owned()));
    let vendor = vendor.ok_or_else(|| wrong(name, "`vendor` is missing"))?;
    let (issuer, way) = match credential.link.unwrap_or_default() {
        LinkWay::Key => (Some(format!("key of {vendor}")), AccountWay::Key),
        LinkWay::Oauth => {
            let oauth = oauth(name, definition, credential, profile)?;
            (issuer(&oauth.endpoints), AccountWay::OAuth(Box::new(oauth)))
        }
    };
    Ok(Some(AccountRule { vendor, issuer, way, lookup: lookup(credential, profile) }))
}

fn oauth(
    name: &ServerName,
    definition: &ServerDefinition,
    credential: &CredentialDefinition,
    profile: Option<&VendorProfile>,
) -> Result<OAuthVendor, CommandError> {
    let of_profile = |of: fn(&VendorProfile) -> &str| profile.map(|profile| of(profile).to_owned());
    let authorization = credential.authorization_url.clone().or_else(|| of_profile(|profile| profile.authorization));
    let token = credential.token_url.clone().or_else(|| of_profile(|profile| profile.token));
    let revocation = profile.and_then(|profile| profile.revocation.map(str::to_owned));
    let revocation = credential.revocation_url.clone().or(revocation);
    let endpoints = match (authorization, token, &definition.url) {
        (Some(authorization), Some(token), _) => VendorEndpoints::Given { authorization, token, revocation },
        (_, _, Some(url)) => VendorEndpoints::Discovered { server: filled(&whose(name), url, Filled::Value)? },
        (_, _, None) => return Err(wrong(name, "a program does not say where its vendor is")),
    };
    let secret = credential.client_secret.as_ref().map(|secret| filled(&whose(name), secret, Filled::Value));
    let secret = secret.transpose()?.map(ClientSecret::from_outside);
    let client = credential.client_id.as_deref().map(ClientId::parse).transpose();
    let client = client.map_err(|_| wrong(name, "`client_id` is no identifier of a client"))?;
    let usual = profile.map(|profile| profile.scopes.join(" "));
    let scopes = if credential.scopes.is_empty() { usual } else { Some(credential.scopes.join(" ")) };
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (name, value) in profile.iter().flat_map(|profile| profile.parameters) {
        parameters.push(((*name).to_owned(), (*value).to_owned()));
    }
    let scopes = match (profile.and_then(|profile| profile.scope_parameter), scopes) {
        (Some(parameter), Some(scopes)) => {
            parameters.push((parameter.to_owned(), scopes));
            None
        }
        (_, scopes) => scopes,
    };
    Ok(OAuthVendor {
        endpoints,
        client: client.map(|id| VendorClient { id, secret }),
        scopes,
        parameters,
        token_member: profile.and_then(|profile| profile.token_member.map(str::to_owned)),
    })
}

/// The identifier under which links are kept, where it is known before anybody links an account.
fn issuer(endpoints: &VendorEndpoints) -> Option<String> {
    match endpoints {
        VendorEndpoints::Discovered { .. } => None,
        VendorEndpoints::Given { token, .. } => {
            url::Url::parse(token).ok().map(|url| url.origin().ascii_serialization())
        }
    }
}

fn lookup(credential: &CredentialDefinition, profile: Option<&VendorProfile>) -> Option<AccountLookup> {
    let (url, pointer) = match (&credential.account_url, &credential.account_name, profile) {
        (Some(url), Some(pointer), _) => (url.clone(), pointer.clone()),
        (_, _, Some(profile)) => (profile.account_url.to_owned(), profile.account_name.to_owned()),
        _ => return None,
    };
    let (header, prefix) = credential.header();
    Some(AccountLookup { url, header: header.to_owned(), prefix: prefix.to_owned(), name: pointer })
}

fn header_name(name: &ServerName, header: &str) -> Result<HeaderName, CommandError> {
    HeaderName::from_bytes(header.as_bytes()).map_err(|_| wrong(name, "`header` is no name of a header"))
}

fn whose(name: &ServerName) -> String {
    format!("server `{name}`")
}

fn wrong(name: &ServerName, what: &str) -> CommandError {
    CommandError::usage(format!("server `{name}`: {what}"), "see `sekisho check`")
}
