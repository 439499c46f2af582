//! A provider, and the checkpoint's part of a sign-in there.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sekisho_client::http::{Destination, HttpClient, HttpSettings, Request, SafeHttp};
use sekisho_client::jwks::{KeySetError, KeySets};
use sekisho_client::openid::member_groups::{MemberGroupsError, member_groups};
use sekisho_client::openid::provider::{Provider as Described, ProviderError, discover};
use sekisho_client::openid::sign_in::{AnswerError, SignIn, SignInWish, begin};
use sekisho_client::openid::user_info::{UserInfoError, user_info};
use sekisho_client::registration::Registration;
use sekisho_client::signing::ClientKey;
use sekisho_client::token::{TokenEndpoint, TokenError};
use sekisho_e2e::fakes::provider::Provider;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::openid::groups::{
    Fault, GroupRule, GroupRules, Reading, Shape, lacks_a_claim, merged, read, resolved,
};
use sekisho_protocol::openid::identity::{Identity, IdentityError, identity};
use sekisho_protocol::openid::profile::Profile;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::ClientSecret;
use sekisho_token::{IdToken, IdTokenError, IdTokenExpectation, PublicKeys, PublicKeysError, verify_id_token};

pub(crate) const CLIENT: &str = "sekisho-at-login";
pub(crate) const SECRET: &str = "the secret:/of % this client";
const REDIRECT: &str = "http://127.0.0.1:9/login/corp/callback";

/// Returns the real time, because the provider uses its own clock.
#[expect(clippy::disallowed_methods, reason = "the provider lives in real time")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Why a sign-in failed, by the step that refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Discovery(#[from] ProviderError),
    #[error(transparent)]
    Groups(#[from] MemberGroupsError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    #[error(transparent)]
    Keys(#[from] PublicKeysError),
    #[error(transparent)]
    Token(#[from] IdTokenError),
    #[error(transparent)]
    TokenEndpoint(#[from] TokenError),
    #[error(transparent)]
    UserInfo(#[from] UserInfoError),
}

/// The person who was signed in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) id_token: IdToken,
    pub(crate) identity: Identity,
    pub(crate) reading: Reading,
    pub(crate) asked_user_info: bool,
}

pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) keys: KeySets,
    pub(crate) profile: Profile,
    pub(crate) rules: Vec<GroupRule>,
    pub(crate) authentication: ClientAuthentication,
    pub(crate) key: Option<Arc<ClientKey>>,
    pub(crate) algorithm: SigningAlgorithm,
    entropy: SeededEntropy,
}

/// Returns the product's profile for a provider with this behaviour.
fn profile_of(behaves: Behaves) -> Profile {
    match behaves {
        Behaves::Auth0 => Profile::Auth0,
        Behaves::Authentik => Profile::Authentik,
        Behaves::Entra | Behaves::EntraOverage => Profile::Entra,
        Behaves::Generic => Profile::Generic,
        Behaves::Google => Profile::Google,
        Behaves::Keycloak => Profile::Keycloak,
        Behaves::Lemonldap => Profile::Lemonldap,
        Behaves::Okta => Profile::Okta,
    }
}

impl World {
    pub(crate) async fn new(behaves: Behaves) -> Self {
        Self::with(behaves, Provider::start(behaves).await.unwrap(), SigningAlgorithm::Rs256)
    }

    pub(crate) fn with(behaves: Behaves, provider: Provider, algorithm: SigningAlgorithm) -> Self {
        let settings =
            HttpSettings { allow_http_loopback: true, timeout: Duration::from_secs(2), ..HttpSettings::default() };
        let http: Arc<dyn HttpClient> = Arc::new(SafeHttp::new(settings).unwrap());
        provider.register(CLIENT, SECRET);
        let profile = profile_of(behaves);
        let rules = profile.row().groups.map(|(path, shape)| GroupRule::of(path, shape)).into_iter().collect();
        Self {
            provider,
            keys: KeySets::new(Arc::clone(&http)),
            http,
            profile,
            rules,
            authentication: ClientAuthentication::ClientSecretBasic,
            key: None,
            algorithm,
            entropy: SeededEntropy::default(),
        }
    }

    /// Adds the rule that an operator writes for a claim of another name.
    pub(crate) fn reads(mut self, claim: &[&str], shape: Shape) -> Self {
        self.rules = vec![GroupRule::of(claim, shape)];
        self
    }

    pub(crate) fn registration(&self) -> Registration {
        Registration {
            issuer: self.provider.issuer().to_owned(),
            client: ClientId::parse(CLIENT).unwrap(),
            authentication: self.authentication,
            secret: self.key.is_none().then(|| ClientSecret::from_outside(SECRET)),
            key: self.key.clone(),
            redirect_uris: vec![RedirectUri::parse(REDIRECT).unwrap()],
        }
    }

    pub(crate) async fn described(&self) -> Result<Described, ProviderError> {
        discover(&*self.http, self.provider.issuer()).await
    }

    /// Sends the browser to the provider. Returns the sign-in, and the URL to which the browser was sent back.
    pub(crate) async fn begun(&self, provider: &Described, at: Timestamp) -> (SignIn, String) {
        let (redirect_uri, scopes) = (RedirectUri::parse(REDIRECT).unwrap(), "profile groups".parse().unwrap());
        let wish = SignInWish {
            redirect_uri: &redirect_uri,
            scopes: &scopes,
            prompt: None,
            max_age_seconds: None,
            acr_values: &[],
            login_hint: None,
        };
        let (url, sign_in) = begin(provider, &self.registration(), wish, at, &self.entropy).unwrap();
        let response = self.http.send(Request::get(Destination::given(url))).await.unwrap();
        let back = response.headers["location"].to_str().unwrap().to_owned();
        (sign_in, back)
    }

    pub(crate) async fn sign_in(&self) -> Result<SignedIn, Refused> {
        self.sign_in_at(now()).await
    }

    /// Does a whole sign-in.
    pub(crate) async fn sign_in_at(&self, at: Timestamp) -> Result<SignedIn, Refused> {
        let provider = self.described().await?;
        let (sign_in, back) = self.begun(&provider, at).await;
        self.finish(&provider, &sign_in, &back, at).await
    }

    pub(crate) async fn finish(
        &self,
        provider: &Described,
        sign_in: &SignIn,
        back: &str,
        at: Timestamp,
    ) -> Result<SignedIn, Refused> {
        let code = sign_in.answer(back, at)?;
        let registration = self.registration();
        let endpoint = TokenEndpoint::new(&*self.http, &provider.server, &registration)?.proving(&self.entropy, None);
        let tokens = sign_in.exchange(&endpoint, &code, at).await?;
        let expect = IdTokenExpectation {
            issuer: provider.issuer(),
            client: &registration.client,
            other_audiences: &[],
            algorithm: self.algorithm,
            nonce: sign_in.nonce(),
            access_token: &tokens.access,
            max_age_seconds: None,
            acr_required: &[],
            now: at,
        };
        let check = |keys: &str| -> Result<IdToken, Refused> {
            Ok(verify_id_token(&PublicKeys::parse(keys)?, tokens.id_token.expose(), &expect)?)
        };
        let lacks_key = |refused: &Refused| matches!(refused, Refused::Token(error) if error.lacks_key());
        let id_token = self.keys.check(&provider.keys, at, check, lacks_key).await??;
        let row = self.profile.row();
        let mut claims = id_token.claims.clone();
        let asked_user_info = lacks_a_claim(&self.rules, &claims);
        if asked_user_info {
            claims = merged(&claims, &user_info(&*self.http, provider, &tokens.access, &id_token.subject).await?);
        }
        let name = "corp".parse().unwrap();
        let by = GroupRules { provider: &name, rules: &self.rules, cut_at: row.groups_cut_at };
        let mut reading = read(by, &claims);
        if let (Some(_), Some(Fault::Elsewhere { claim })) = (row.overage, reading.fault.clone()) {
            // The URL of the profile, at the provider of this test.
            let at = Destination::given(self.provider.endpoint("getMemberObjects"));
            let groups = member_groups(&*self.http, &at, &tokens.access).await?;
            reading = read(by, &resolved(&claims, &claim, groups));
        }
        let identity = identity(provider.issuer(), row.identity, &id_token.claims)?;
        Ok(SignedIn { id_token, identity, reading, asked_user_info })
    }
}
