//! `[login]`: whether there are passwords here, and at which identity providers people sign in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use sekisho_client::http::is_as_secure;
use sekisho_client::registration::Registration;
use sekisho_client::signing::ClientKey;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::groups::{GROUP_BYTES_MAX, GroupRule, PATH_MAX, Shape};
use sekisho_protocol::openid::profile::Profile;
use sekisho_protocol::openid::{ProviderName, SignOutThere, SigningAlgorithm};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::secret::ClientSecret;
use sekisho_protocol::text::check_name;
use serde::{Deserialize, Serialize};

use super::values::{Filled, fill, refers, stand_in};

/// How people sign in.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Login {
    /// Whether people of this checkpoint sign in with a password. Where it is `false`, an owner can still be given a link on
    /// the command line.
    pub(crate) passwords: bool,
    /// Identity providers (OpenID Connect).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) provider: Vec<LoginProvider>,
}

impl Default for Login {
    fn default() -> Self {
        Self { passwords: true, provider: Vec::new() }
    }
}

/// One identity provider.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LoginProvider {
    /// A short name: lower-case letters, digits and hyphens. It stands in the redirect URI, `BASE_URL/login/NAME/callback`, and
    /// before the names of its groups in the policies, as in `NAME/engineers`.
    pub(crate) name: String,
    /// What the button on the sign-in page says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// The kind of provider. It says where groups stand and by what people are known.
    pub(crate) profile: Profile,
    /// The issuer identifier, exactly as the provider writes it.
    pub(crate) issuer: String,
    /// The client identifier that the provider gave.
    pub(crate) client_id: String,
    /// The client's secret. `${env:NAME}` and `${file:PATH}` are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<String>,
    /// In place of a secret: the private key with which the client proves itself, in PEM, such as `${file:/run/secrets/key.pem}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<String>,
    /// The name (`kid`) under which the provider knows that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key_id: Option<String>,
    /// How the client proves itself: `client_secret_basic` unless this says `client_secret_post`; with a key,
    /// `private_key_jwt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authentication: Option<ClientAuthentication>,
    /// What is asked for besides `openid`.
    pub(crate) scopes: Vec<String>,
    /// What the provider signs ID tokens with.
    pub(crate) id_token_algorithm: SigningAlgorithm,
    /// Further audiences that its ID tokens may name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) audiences: Vec<String>,
    /// The claims that name a person for good, in place of those of the profile. Never an e-mail address or a user name. People
    /// who signed in before are strangers after a change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) identity: Vec<String>,
    /// Claims that people must have to come in, with the values that will do, such as `hd = ["example.com"]` at Google.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) require: BTreeMap<String, BTreeSet<String>>,
    /// From where groups are read, in place of the rule of the profile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<GroupMapping>,
    /// Where all groups of a person are read if the token has no room for them, in place of the address of the profile: in a
    /// national cloud of Entra ID, `https://graph.microsoft.us/v1.0/me/getMemberObjects`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) member_groups: Option<String>,
    /// `login`, `consent` or `select_account`: what the provider does with somebody who is signed in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<String>,
    /// How long ago a person may have proven who they are there, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_seconds: Option<u32>,
    /// Kinds of authentication that are asked for (`acr_values`), the best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) acr_values: Vec<String>,
    /// Whether one of them is required: the ID token then has to say which was used.
    pub(crate) acr_required: bool,
    /// What signing out here does there: `never` leaves the person signed in there, `offer` shows a page with the way to sign
    /// out there, `always` sends the browser on. The provider has to know `BASE_URL/login/NAME/signed-out`, to which it sends
    /// the browser back (`post_logout_redirect_uri`).
    pub(crate) sign_out_there: SignOutThere,
    /// Whether signing out there ends the person's grants, and not only their sessions here.
    pub(crate) logout_ends_grants: bool,
    /// Whether its identity assertions are taken for people's consent (enterprise-managed authorization).
    pub(crate) assertions: bool,
}

impl Default for LoginProvider {
    fn default() -> Self {
        Self {
            name: String::new(),
            label: None,
            profile: Profile::Generic,
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            client_key: None,
            client_key_id: None,
            authentication: None,
            scopes: vec!["profile".to_owned(), "email".to_owned()],
            id_token_algorithm: SigningAlgorithm::Rs256,
            audiences: Vec::new(),
            identity: Vec::new(),
            require: BTreeMap::new(),
            groups: Vec::new(),
            member_groups: None,
            prompt: None,
            max_age_seconds: None,
            acr_values: Vec::new(),
            acr_required: false,
            sign_out_there: SignOutThere::Never,
            logout_ends_grants: false,
            assertions: false,
        }
    }
}

/// From where groups are read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GroupMapping {
    /// The claim: its name, or the names of the members that lead to it, as in `["realm_access", "roles"]`. A dot in a name is
    /// a dot.
    pub(crate) claim: ClaimPath,
    /// Where the claim is a list of objects: the member of each that holds the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<String>,
    /// Where the claim is an object: its members' names are the groups.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) keys: bool,
    /// Where the claim is one text: the character between the groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) separator: Option<char>,
    /// Only what begins with this counts; it is taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    /// Only these values count, each under the name beside it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) names: BTreeMap<String, String>,
    /// Whether nobody signs in without the claim.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) required: bool,
}

/// The path of a claim.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ClaimPath {
    /// One name.
    Name(String),
    /// Names from the outside to the inside.
    Path(Vec<String>),
}

impl Default for ClaimPath {
    fn default() -> Self {
        Self::Path(Vec::new())
    }
}

impl ClaimPath {
    fn members(&self) -> Vec<String> {
        match self {
            Self::Name(name) => vec![name.clone()],
            Self::Path(path) => path.clone(),
        }
    }
}

impl GroupMapping {
    /// The rule that it is.
    pub(crate) fn rule(&self) -> GroupRule {
        let shape = match self.separator {
            _ if self.keys => Shape::Keys,
            Some(separator) => Shape::Separated(separator),
            None => Shape::Values,
        };
        GroupRule {
            claim: self.claim.members(),
            shape,
            member: self.member.clone(),
            prefix: self.prefix.clone(),
            names: self.names.clone(),
            required: self.required,
        }
    }
}

/// Why a provider cannot be used on this machine, in a sentence, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// The key at which it stands.
    pub(crate) key: &'static str,
    /// What is wrong. Values are never shown.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: String,
}

impl LoginProvider {
    /// By which rules its groups are read.
    pub(crate) fn rules(&self) -> Vec<GroupRule> {
        if self.groups.is_empty() {
            let usual = self.profile.row().groups;
            return usual.map(|(claim, shape)| GroupRule::of(claim, shape)).into_iter().collect();
        }
        self.groups.iter().map(GroupMapping::rule).collect()
    }

    /// The claims that name a person.
    pub(crate) fn named_by(&self) -> Vec<&str> {
        if self.identity.is_empty() {
            return self.profile.row().identity.to_vec();
        }
        self.identity.iter().map(String::as_str).collect()
    }

    /// How the client proves itself.
    pub(crate) fn method(&self) -> ClientAuthentication {
        let usual = match self.client_key {
            Some(_) => ClientAuthentication::PrivateKeyJwt,
            None => ClientAuthentication::ClientSecretBasic,
        };
        self.authentication.unwrap_or(usual)
    }

    /// What is asked for; `openid` comes by itself.
    pub(crate) fn scope_set(&self) -> ScopeSet {
        self.scopes.iter().filter_map(|scope| scope.parse::<Scope>().ok()).collect()
    }

    /// Where it sends browsers back.
    pub(crate) fn redirect_uri(&self, base_url: &str) -> String {
        format!("{base_url}/login/{}/callback", self.name)
    }

    /// Where it sends browsers back after a sign-out there.
    pub(crate) fn signed_out_uri(&self, base_url: &str) -> String {
        format!("{base_url}/login/{}/signed-out", self.name)
    }

    /// The client as the provider knows it, with its secret or its key filled in.
    pub(crate) fn registration(&self, base_url: &str) -> Result<Registration, Unusable> {
        let wrong =
            |key, message: &str, help: &str| Unusable { key, message: message.to_owned(), help: help.to_owned() };
        let filled = |key, text: &Option<String>| {
            let filled = text.as_ref().map(|text| fill(text, Filled::Value)).transpose();
            filled.map_err(|error| Unusable { key, message: format!("`{key}` {error}"), help: error.help() })
        };
        let client = ClientId::parse(&self.client_id);
        let client = client.map_err(|error| wrong("client_id", &error.to_string(), "copy it from the provider"))?;
        let secret = filled("client_secret", &self.client_secret)?;
        let secret = match secret {
            Some(text) if text.is_empty() => {
                return Err(wrong(
                    "client_secret",
                    "the secret is empty",
                    "see the file or the variable that it names",
                ));
            }
            other => other.map(ClientSecret::from_outside),
        };
        let pem = filled("client_key", &self.client_key)?;
        let key = pem.map(|pem| ClientKey::from_pem(pem.as_bytes(), self.client_key_id.clone())).transpose();
        let key = key.map_err(|error| wrong("client_key", &error.to_string(), "name a file with a private key"))?;
        let redirect = RedirectUri::parse(&self.redirect_uri(base_url));
        let redirect = redirect.map_err(|error| wrong("name", &error.to_string(), "see `base_url`"))?;
        Ok(Registration {
            issuer: self.issuer.clone(),
            client,
            authentication: self.method(),
            secret,
            key: key.map(Arc::new),
            redirect_uris: vec![redirect],
        })
    }
}

/// Something wrong, or unwise, with one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginProblem {
    /// The place of the provider in the list. `None`: it is about all of them.
    pub(crate) provider: Option<usize>,
    /// The key at which it stands.
    pub(crate) key: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: String,
    /// Whether the file is refused for it.
    pub(crate) fatal: bool,
}

/// What is wrong with the providers, beyond the types of their members. `groups`: the names of the groups that the file itself
/// defines.
pub(crate) fn check_login(login: &Login, groups: &BTreeSet<String>) -> Vec<LoginProblem> {
    let mut problems = Vec::new();
    if !login.passwords && login.provider.is_empty() {
        problems.push(LoginProblem {
            provider: None,
            key: "passwords",
            message: "nobody could sign in: there are no passwords and no provider".to_owned(),
            help: "add `[[login.provider]]`, or remove `passwords = false`".to_owned(),
            fatal: true,
        });
    }
    for (at, provider) in login.provider.iter().enumerate() {
        let mut note = |key, message: &str, help: &str, fatal| {
            let (message, help) = (message.to_owned(), help.to_owned());
            problems.push(LoginProblem { provider: Some(at), key, message, help, fatal });
        };
        check_names(&login.provider, at, groups, &mut note);
        check_client(provider, &mut note);
        check_request(provider, &mut note);
        check_people(provider, &mut note);
    }
    problems
}

/// Notes a problem: its key, what is wrong, what to do, whether the file is refused for it.
type Note<'a> = dyn FnMut(&'static str, &str, &str, bool) + 'a;

/// What the provider and its groups are called.
fn check_names(all: &[LoginProvider], at: usize, groups: &BTreeSet<String>, note: &mut Note<'_>) {
    let Some(provider) = all.get(at) else { return };
    if let Err(error) = provider.name.parse::<ProviderName>() {
        note("name", &error.to_string(), "write a short name, such as `corp`", true);
    }
    let before = || all.iter().take(at);
    if before().any(|other| other.name == provider.name) {
        note(
            "name",
            "two providers have one name",
            "give each its own: it stands before the names of its groups",
            true,
        );
    }
    if before().any(|other| other.issuer == provider.issuer && other.client_id == provider.client_id) {
        note("issuer", "this provider stands here twice", "remove one of them", true);
    }
    let own = format!("{}/", provider.name);
    if let Some(group) = groups.iter().find(|group| group.starts_with(&own)) {
        let message = format!("the group `{group}` of this file would look like one of this provider");
        note("name", &message, "rename the group, or the provider", true);
    }
}

/// Who we are there.
fn check_client(provider: &LoginProvider, note: &mut Note<'_>) {
    let plain = url::Url::parse(&provider.issuer).is_ok_and(|url| url.query().is_none() && url.fragment().is_none());
    if !plain || !is_as_secure(&provider.issuer, &provider.issuer) {
        let help = format!("copy it from the provider, such as `{}`", provider.profile.row().issuer);
        note("issuer", "not an issuer identifier: expected an https URL without query and fragment", &help, true);
    }
    let shared = ["common", "organizations", "consumers"]
        .iter()
        .any(|word| provider.profile == Profile::Entra && provider.issuer.split('/').any(|part| part == *word));
    if shared {
        let help = "write the identifier of your tenant: `https://login.microsoftonline.com/TENANT-ID/v2.0`";
        note("issuer", "this is where everybody's tenants sign in, and no issuer", help, true);
    }
    if ClientId::parse(&provider.client_id).is_err() {
        note("client_id", "a client identifier is needed", "copy it from the provider", true);
    }
    match (provider.method(), &provider.client_secret, &provider.client_key) {
        (_, Some(_), Some(_)) => note("client_key", "a client has a secret or a key", "remove one of them", true),
        (_, None, None) => {
            let help = "give `client_secret = \"${file:PATH}\"`, or `client_key` for `private_key_jwt`";
            note("client_secret", "a secret or a key is needed", help, true);
        }
        (ClientAuthentication::None, ..) => {
            note(
                "authentication",
                "a client without proof is not used for signing in",
                "remove `authentication`",
                true,
            );
        }
        (ClientAuthentication::PrivateKeyJwt, _, None) | (_, None, Some(_))
            if (provider.method() == ClientAuthentication::PrivateKeyJwt) != provider.client_key.is_some() =>
        {
            note(
                "authentication",
                "`private_key_jwt` goes with `client_key`, and with nothing else",
                "remove it",
                true,
            );
        }
        _ => {}
    }
    if let Some(secret) = &provider.client_secret
        && !refers(secret)
    {
        let help = "write `${file:PATH}` or `${env:NAME}`";
        note("client_secret", "the secret stands in the file, for everybody who reads it", help, false);
    }
    if provider.client_key_id.is_some() && provider.client_key.is_none() {
        note("client_key_id", "there is no `client_key` that it names", "remove it", true);
    }
    if provider.client_secret.as_deref().is_some_and(|secret| stand_in(secret).is_empty()) {
        note("client_secret", "the secret is empty", "give `${file:PATH}`", true);
    }
}

/// What is asked of it.
fn check_request(provider: &LoginProvider, note: &mut Note<'_>) {
    if let Some(scope) = provider.scopes.iter().find(|scope| scope.parse::<Scope>().is_err()) {
        note("scopes", &format!("`{}` is not a scope", sekisho_protocol::text::for_terminal(scope)), "remove it", true);
    }
    if provider.scopes.iter().any(|scope| scope == "offline_access") {
        note("scopes", "nothing is asked for in people's absence", "remove `offline_access`", true);
    }
    let words = provider.prompt.as_deref().unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    if words.clone().any(|word| !["consent", "login", "select_account"].contains(&word)) {
        let help = "write `login`, `consent` or `select_account`";
        note("prompt", "not what a provider can be asked to do", help, true);
    }
    if provider.acr_required && provider.acr_values.is_empty() {
        note("acr_required", "no kind of authentication is named that could be required", "fill `acr_values`", true);
    }
    if let Some(url) = provider.member_groups.as_deref()
        && !is_as_secure(&provider.issuer, url)
    {
        let help = "write the https URL of `getMemberObjects` in your cloud, or remove it";
        note("member_groups", "not an https URL, or one that lies further inside than the provider", help, true);
    }
    if provider.acr_values.iter().any(|acr| acr.is_empty() || acr.contains(' ')) {
        note("acr_values", "a kind of authentication is a word without blanks", "remove the blanks", true);
    }
}

/// Claims that people and administrators change, or that others may get after them.
const MUTABLE: [&str; 7] = ["email", "mail", "name", "nickname", "preferred_username", "unique_name", "upn"];

/// Who comes in, and in which groups.
fn check_people(provider: &LoginProvider, note: &mut Note<'_>) {
    if let Some(claim) = provider.identity.iter().find(|claim| MUTABLE.contains(&claim.as_str())) {
        let message = format!("`{claim}` can be changed, and be given to somebody else");
        note("identity", &message, "name claims that stay, such as `sub`", true);
    }
    if provider.identity.len() > 4 || provider.identity.iter().any(String::is_empty) {
        note("identity", "a person is named by one to four claims", "remove the others", true);
    }
    if provider.profile == Profile::Google && !provider.require.contains_key("hd") {
        let help = "write `require = { hd = [\"example.com\"] }` with your domain";
        note("require", "everybody with a Google account could sign in", help, false);
    }
    if let Some((claim, _)) = provider.require.iter().find(|(_, values)| values.is_empty()) {
        note("require", &format!("no value of `{claim}` would do"), "name one", true);
    }
    for mapping in &provider.groups {
        check_mapping(mapping, note);
    }
}

/// One rule for groups.
fn check_mapping(mapping: &GroupMapping, note: &mut Note<'_>) {
    let path = mapping.claim.members();
    if path.is_empty() || path.len() > PATH_MAX || path.iter().any(String::is_empty) {
        note("groups", "a rule needs `claim`", &format!("write a name, or up to {PATH_MAX} names in a list"), true);
    }
    let shapes = [mapping.keys, mapping.separator.is_some(), mapping.member.is_some()];
    if shapes.iter().filter(|is| **is).count() > 1 {
        let help = "keep one of `keys`, `separator` and `member`";
        note("groups", "a claim is read in one way", help, true);
    }
    let bad = |name: &&String| name.len() > GROUP_BYTES_MAX || check_name(name).is_err();
    if let Some(name) = mapping.names.values().find(bad) {
        let message = format!("`{}` cannot be the name of a group", sekisho_protocol::text::for_terminal(name));
        note("groups", &message, "write a name without invisible characters and blanks at its ends", true);
    }
    if mapping.prefix.as_deref() == Some("") {
        note("groups", "an empty `prefix` leaves nothing out", "remove it", true);
    }
}

#[cfg(test)]
mod tests;
