//! Who a verified token is about, and the grant behind it.

use std::time::Duration;

use sekisho_acts::external::{ExternalToken, Standing, admit as perform, client_of, standing};
use sekisho_acts::{ActError, Performer};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::caller::{ActorPath, Basis, Caller, Granted, IssuedBy, Subject};
use sekisho_protocol::ids::TokenId;
use sekisho_protocol::openid::identity::{identity, meets, shown_name};
use sekisho_store::StoreError;

use super::error::{ExternalError, UnavailableError};
use super::parts::{Accepted, External, ExternalTokens, Presentation};
use super::verify::Verified;

/// How long a request waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(2);
/// How long the first request of a new user waits until the user's rights are in force.
const IN_FORCE: Duration = Duration::from_secs(1);
/// How often an act is tried: of two requests that meet, one is second.
const ATTEMPTS_MAX: u32 = 3;

/// Finds the user and the grant behind a token, or makes them.
pub(super) async fn admit(
    external: &External,
    tokens: &ExternalTokens,
    verified: &Verified,
    shown: Presentation<'_>,
) -> Result<Accepted, ExternalError> {
    let parts = &tokens.parts;
    meets(&parts.require, &verified.claims)?;
    let named_by: Vec<&str> = parts.named_by.iter().map(String::as_str).collect();
    let identity = identity(&parts.provider_issuer, &named_by, &verified.claims)?;
    let client = client_of(&parts.issuer.provider, &verified.client).ok_or(ExternalError::Client)?;
    let (scopes, name) = (parts.issuer.scopes.ours(&verified.scopes), shown_name(&verified.claims));
    let token = ExternalToken {
        provider: &parts.issuer.provider,
        issuer: &parts.issuer.issuer,
        identity: &identity,
        shown_name: name.as_deref(),
        client: &client,
        server: shown.card,
        scopes: &scopes,
    };
    let mut tx = external.sources.store.read().await?;
    let known = standing(&mut tx, token).await?;
    drop(tx);
    let standing = match known {
        Some(known) => known,
        None => make(external, token, shown).await?,
    };
    let (user, grant) = match standing {
        Standing::Granted { user, grant } => (user, grant),
        Standing::Ended(grant) => return Err(ExternalError::Ended(grant)),
        Standing::ShutOut => return Err(ExternalError::ShutOut),
    };
    let granted = Granted {
        subject: Subject::User(user),
        path: ActorPath::direct(client.clone()),
        client,
        grant,
        task: None,
        token: TokenId::generate(shown.now, external.sources.entropy.as_ref()),
        expires: verified.ends,
        issued_by: IssuedBy::External(tokens.issuer.clone()),
    };
    let caller = Caller { scopes, basis: Basis::Grant(granted) };
    Ok(Accepted { caller, grant, issued: verified.issued.unwrap_or(shown.now), until: verified.until })
}

/// Makes what is missing. Only tokens that were verified come here, a few at a time.
async fn make(
    external: &External,
    token: ExternalToken<'_>,
    shown: Presentation<'_>,
) -> Result<Standing, ExternalError> {
    let turn = tokio::time::timeout(TURN_WAIT, external.admissions.acquire()).await;
    let _turn = turn.map_err(|_| UnavailableError::Busy)?.map_err(|_| UnavailableError::Busy)?;
    let sources = &external.sources;
    let by = Performer {
        actor: Actor::Checkpoint,
        node: sources.node,
        request: shown.request,
        now: shown.now,
        entropy: sources.entropy.as_ref(),
    };
    let mut attempt = 1;
    loop {
        let mut rights = sources.rights.clone();
        rights.mark_unchanged();
        let mut tx = sources.store.begin().await?;
        let admitted = match perform(&mut tx, &by, token).await {
            Ok(admitted) => admitted,
            Err(error) if attempt < ATTEMPTS_MAX && met_another(&error) => {
                tx.rollback().await?;
                attempt += 1;
                continue;
            }
            Err(ActError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(UnavailableError::Acts(error).into()),
        };
        tx.commit().await?;
        if admitted.made_user {
            // The call is judged by rights that know the user. They come into force either way.
            let _ = tokio::time::timeout(IN_FORCE, rights.changed()).await;
        }
        return Ok(admitted.standing);
    }
}

fn met_another(error: &ActError) -> bool {
    matches!(error, ActError::Absent { .. } | ActError::Exists { .. } | ActError::Store(StoreError::Conflict { .. }))
}
