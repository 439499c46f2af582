//! OAuth clients that an operator registers and removes.

use sekisho_protocol::audit::{Act, ActKind};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::secret::ClientSecret;
use sekisho_store::{NewClient, Tx};

use crate::{ActError, Performer, role};

/// The most characters of a client's name that are kept.
const NAME_CHARS_MAX: usize = 80;

/// A client to register.
#[derive(Debug, Clone)]
pub struct Add {
    /// A name for people. Control characters, and characters after the first 80, are left out.
    pub name: String,
    /// The redirect URIs.
    pub redirect_uris: Vec<RedirectUri>,
    /// Whether it gets a secret, and sends it in `Authorization: Basic`.
    pub confidential: bool,
}

/// A client that was registered.
#[derive(Debug)]
pub struct Added {
    /// Its identifier.
    pub id: ClientId,
    /// Its secret. Only the digest of it is kept.
    pub secret: Option<ClientSecret>,
}

/// Registers a client.
pub async fn add(tx: &mut Tx, by: &Performer<'_>, client: Add) -> Result<Added, ActError> {
    role::owns(tx, by).await?;
    let secret = client.confidential.then(|| ClientSecret::generate(by.entropy));
    let authentication =
        if client.confidential { ClientAuthentication::ClientSecretBasic } else { ClientAuthentication::None };
    let id = ClientId::generate(by.now, by.entropy);
    let name: String = client.name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    let detail = format!("`{name}`");
    let client = Client {
        id: id.clone(),
        origin: ClientOrigin::Registered,
        name,
        redirect_uris: client.redirect_uris,
        authentication,
        refresh: true,
        jwks: None,
        jwks_uri: None,
        disabled: false,
    };
    let digest = secret.as_ref().map(ClientSecret::digest);
    tx.clients().insert(&NewClient { client, secret: digest, created_at: by.now, expires_at: None }).await?;
    by.record(tx, Act { client: Some(id.clone()), detail, ..by.act(ActKind::ClientAdded) }).await?;
    Ok(Added { id, secret })
}

/// Removes a client and ends its grants.
pub async fn remove(tx: &mut Tx, by: &Performer<'_>, client: &ClientId) -> Result<(), ActError> {
    role::owns(tx, by).await?;
    if !tx.clients().remove(client, by.now).await? {
        return Err(ActError::absent("client", client));
    }
    Ok(by.record(tx, Act { client: Some(client.clone()), ..by.act(ActKind::ClientRemoved) }).await?)
}
