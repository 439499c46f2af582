//! OAuth clients: register, list, remove.

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::secret::ClientSecret;
use sekisho_store::{NewClient, Store, StoredClient};

use super::{ActError, ClientRow, Outcome, Performer, record};

pub(super) async fn add(
    store: &Store,
    who: Performer<'_>,
    name: String,
    redirect_uris: Vec<RedirectUri>,
    confidential: bool,
) -> Result<Outcome, ActError> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let secret = confidential.then(|| ClientSecret::generate(who.entropy));
    let authentication =
        if confidential { ClientAuthentication::ClientSecretBasic } else { ClientAuthentication::None };
    let id = ClientId::generate(who.now, who.entropy);
    let client = Client {
        id: id.clone(),
        origin: ClientOrigin::Registered,
        name: name.clone(),
        redirect_uris,
        authentication,
        refresh: true,
        jwks: None,
        jwks_uri: None,
        disabled: false,
    };
    let mut tx = store.begin().await?;
    let kept =
        NewClient { client, secret: secret.as_ref().map(ClientSecret::digest), created_at: who.now, expires_at: None };
    tx.clients().insert(&kept).await?;
    tx.audit().append(who.node, &record(who, "client add", id.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Client { id, secret: secret.map(|secret| secret.expose().to_owned()) })
}

pub(super) async fn list(store: &Store) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let row = |stored: StoredClient| ClientRow {
        id: stored.client.id,
        name: stored.client.name,
        origin: stored.client.origin.as_str().to_owned(),
        created: stored.created_at,
    };
    Ok(Outcome::Clients { clients: tx.clients().list().await?.into_iter().map(row).collect() })
}

pub(super) async fn remove(store: &Store, who: Performer<'_>, client: &ClientId) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    if !tx.clients().remove(client, who.now).await? {
        return Err(ActError::Absent { what: "client", name: client.to_string() });
    }
    tx.audit().append(who.node, &record(who, "client remove", client.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}
