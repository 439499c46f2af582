//! Being a client: what `connect`, `login` and their kin are made of. The work is `sekisho_client`'s.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sekisho_client::exchange::IdentityProvider;
use sekisho_client::http::{HttpClient, HttpSettings, SafeHttp};
use sekisho_client::login::{Browser, Finished, Grant, Identity, KnownClient, Login, LoginParts, MetadataDocument};
use sekisho_client::session::{Entry, Session};
use sekisho_client::signing::ClientKey;
use sekisho_client::token_store::{FileStore, MemoryStore, TokenStore};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, ClientSecret, SubjectToken};
use sekisho_protocol::text::for_terminal;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{ClientOptions, Common};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::os::{self, OsEntropy, SystemClock};

mod keyring;
mod terminal;

pub(crate) use keyring::Need;
pub(crate) use terminal::{Nobody, Terminal};

/// How long an exchange may take that is not a call: discovery, registration, tokens.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of one answer.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Exchanges at a time, standing streams among them.
const CONCURRENT_MAX: usize = 256;

/// A server's URL, as a person types it.
pub(crate) fn server(url: &str) -> Result<ResourceId, CommandError> {
    ResourceId::parse(url)
        .map_err(|error| CommandError::usage(format!("`{url}`: {error}"), "such as https://mcp.example.com/mcp"))
}

impl ClientOptions {
    /// The way out.
    pub(crate) fn http(&self) -> Result<Arc<SafeHttp>, CommandError> {
        let mut settings = HttpSettings {
            // A URL that a person types on this machine may be one of this machine (CL-43).
            allow_http_loopback: true,
            body_bytes_max: BODY_BYTES_MAX,
            timeout: EXCHANGE_TIMEOUT,
            concurrent_max: CONCURRENT_MAX,
            ..HttpSettings::default()
        };
        if let Some(path) = &self.ca_file {
            settings.extra_roots_pem = read(path)?;
        }
        for network in &self.allow_network {
            let network = network.parse().map_err(|_| {
                CommandError::usage(format!("`{network}` is not a network"), "write it as `10.0.0.0/8`")
            })?;
            settings.allow_private.push(network);
        }
        let http = SafeHttp::new(settings);
        http.map(Arc::new).map_err(|error| CommandError::usage(error.to_string(), "see `--ca-file`"))
    }

    /// A session with a server that has not begun.
    pub(crate) async fn session(
        &self,
        common: &Common,
        server: ResourceId,
        browser: Arc<dyn Browser>,
    ) -> Result<Session, CommandError> {
        let http: Arc<dyn HttpClient> = self.http()?;
        if let Some(name) = &self.token_env {
            let token = AccessToken::from_outside(secret(name)?);
            return Ok(Session::new(http, server, Entry::Given(token)));
        }
        let login = self.login(common, browser).await?;
        Ok(Session::new(http, server, Entry::Login(Box::new(login))))
    }

    /// A way in that was not tried yet.
    pub(crate) async fn login(&self, common: &Common, browser: Arc<dyn Browser>) -> Result<Login, CommandError> {
        let http: Arc<dyn HttpClient> = self.http()?;
        let (identity, grant) = self.who(&*http).await?;
        // Without a person, a login by code cannot give a new token, so there is nothing new to keep.
        let need = if matches!(grant, Grant::Code) && !browser.is_there() { Need::Read } else { Need::Write };
        Ok(Login::new(LoginParts {
            store: store(common, need)?,
            browser,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            identity,
            grant,
            http,
        }))
    }

    /// The client that we are, and how we authenticate.
    pub(crate) async fn who(&self, http: &dyn HttpClient) -> Result<(Identity, Grant), CommandError> {
        Ok((self.identity()?, self.grant(http).await?))
    }

    fn identity(&self) -> Result<Identity, CommandError> {
        if self.client_id.is_none() && self.client_metadata_url.is_none() {
            let without = [("--issuer", self.issuer.is_some()), ("--redirect-uri", self.redirect_uri.is_some())];
            if let Some((option, _)) = without.iter().find(|(_, is_given)| *is_given) {
                let message = format!("`{option}` says something of a client that was not given");
                return Err(CommandError::usage(message, "give --client-id or --client-metadata-url with it"));
            }
        }
        let client = |text: &String| {
            ClientId::parse(text)
                .map_err(|error| CommandError::usage(format!("`{text}`: {error}"), "give it as it was given to you"))
        };
        let known = match &self.client_id {
            Some(id) => vec![KnownClient {
                issuer: self.issuer.clone(),
                client: client(id)?,
                authentication: None,
                secret: self.client_secret_env.as_deref().map(secret).transpose()?.map(ClientSecret::from_outside),
                key: self.key()?,
            }],
            None => Vec::new(),
        };
        let scopes = |text: &String| {
            text.parse::<ScopeSet>().map_err(|error| {
                CommandError::usage(format!("`{text}`: {error}"), "such as --scope \"mcp:read mcp:write\"")
            })
        };
        let redirect = |text: &String| {
            RedirectUri::parse(text).map_err(|error| {
                CommandError::usage(
                    format!("`{text}`: {error}"),
                    "such as --redirect-uri http://127.0.0.1:8765/callback",
                )
            })
        };
        Ok(Identity {
            client_name: "Sekisho".to_owned(),
            known,
            document: match &self.client_metadata_url {
                Some(url) => Some(MetadataDocument { client: client(url)?, issuer: self.issuer.clone() }),
                None => None,
            },
            redirect: self.redirect_uri.as_ref().map(redirect).transpose()?,
            scopes: self.scope.as_ref().map(scopes).transpose()?,
        })
    }

    fn key(&self) -> Result<Option<Arc<ClientKey>>, CommandError> {
        let Some(path) = &self.client_key else { return Ok(None) };
        let key = ClientKey::from_pem(&read(path)?, None);
        let wrong = |error| CommandError::usage(format!("`{}`: {error}", path.display()), "see `--client-key`");
        key.map(Arc::new).map(Some).map_err(wrong)
    }

    async fn grant(&self, http: &dyn HttpClient) -> Result<Grant, CommandError> {
        if self.client_credentials {
            return Ok(Grant::ClientCredentials);
        }
        if let Some(path) = &self.workload_token {
            let statement = String::from_utf8(read(path)?).map_err(|_| {
                CommandError::usage(format!("`{}` is no text", path.display()), "it has to hold one JWT")
            })?;
            return Ok(Grant::Workload(SubjectToken::from_outside(statement.trim())));
        }
        let (Some(token), Some(idp), Some(client)) = (&self.id_token_env, &self.idp, &self.idp_client_id) else {
            return Ok(Grant::Code);
        };
        let provider = sekisho_client::discovery::discover_issuer(http, idp).await.map_err(|error| failed(&error))?;
        Ok(Grant::Enterprise(IdentityProvider {
            issuer: provider.issuer,
            token_endpoint: provider.token_endpoint,
            client: ClientId::parse(client)
                .map_err(|error| CommandError::usage(error.to_string(), "--idp-client-id"))?,
            secret: None,
            id_token: SubjectToken::from_outside(secret(token)?),
        }))
    }
}

/// Returns the store of what this user's clients remember.
pub(crate) fn store(common: &Common, need: Need) -> Result<Arc<dyn TokenStore>, CommandError> {
    let data = DataDir::open(common.data_dir.as_deref())?;
    let folder = data.path().join("client");
    match keyring::key(&folder, need)? {
        Some(key) => Ok(Arc::new(FileStore::open(folder, key).map_err(|error| failed(&error))?)),
        // There is no key, so nothing was ever kept.
        None => Ok(Arc::new(MemoryStore::default())),
    }
}

/// How long the end of the program waits for an exchange: a little longer than the timeout of one exchange.
const FINISH_WITHIN: Duration = Duration::from_secs(EXCHANGE_TIMEOUT.as_secs() + 5);

/// Waits, before the program ends, until no exchange is under way: the issuer may have used up the refresh token, and the
/// new one is in its answer. No exchange begins while the returned guard lives.
pub(crate) async fn finish(login: Option<&Login>) -> Option<Finished> {
    let mut finished = std::pin::pin!(login?.finished());
    if let Poll::Ready(finished) = futures_util::poll!(finished.as_mut()) {
        return Some(finished);
    }
    tell!("sekisho: an exchange with the authorization server is finished first");
    tokio::time::timeout(FINISH_WITHIN, finished).await.ok()
}

/// Waits until the program is to end: SIGINT, SIGTERM, or SIGHUP when the terminal closes.
pub(crate) async fn stopped() -> Result<(), CommandError> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| CommandError::environment(format!("signals cannot be waited for: {error}"), "try again"))
    };
    let (mut hangup, mut interrupt, mut terminate) =
        (listen(SignalKind::hangup())?, listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Does the work of a command until it is done or a signal ends the program.
pub(crate) async fn unless_stopped<T>(
    login: Option<&Login>,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    tokio::select! {
        done = work => done,
        stopped = stopped() => {
            stopped?;
            let _finished = finish(login).await;
            Err(CommandError::environment("ended by a signal", "run it again"))
        }
    }
}

/// A failure with all its reasons in one sentence.
pub(crate) fn failed(error: &dyn std::error::Error) -> CommandError {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    CommandError::environment(
        for_terminal(&text),
        "`sekisho doctor URL` shows what the server and its authorization server say",
    )
}

fn secret(name: &str) -> Result<String, CommandError> {
    os::variable(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        CommandError::usage(format!("the variable `{name}` is not set"), "give the name of a variable, not its value")
    })
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|error| {
        CommandError::environment(format!("`{}` cannot be read: {error}", path.display()), "check the path")
    })
}
