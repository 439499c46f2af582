//! Signing keys: loaded from the store, made when there is none, renewed before they are old.

use std::time::Duration;

use sekisho_protocol::env::{Clock, Entropy, Timestamp, after};
use sekisho_protocol::ids::KeyId;
use sekisho_store::{SigningKeyRow, Store, StoreError};
use sekisho_token::{KeyDuty, KeyEntry, Keys, SigningKey};

use crate::error::CommandError;

/// How long a key signs.
const SIGNS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long before its first signature a new key is published, so that others know it by then.
const ANNOUNCED: Duration = Duration::from_secs(3600);
/// The longest lifetime of anything that a key signed. A retired key is accepted for this long.
const BELIEVED: Duration = Duration::from_secs(3600);

/// The keys in force at `now`, after making those that are due.
pub(crate) async fn in_force(store: &Store, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Keys, CommandError> {
    let now = clock.now();
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::environment(
            format!("the signing keys cannot be used: {error}"),
            "restore the data directory from a backup, `seal.key` included",
        )
    };
    let mut tx = store.read().await.map_err(|error| failed(&error))?;
    let mut rows = tx.keys().list(now).await.map_err(|error| failed(&error))?;
    drop(tx);
    if due(&rows, now, entropy).map_err(|error| failed(&error))?.is_some() {
        match renewed(store, now, entropy).await {
            Ok(renewed) => rows = renewed,
            // The old ones go on signing: a full disk does not keep us from starting.
            Err(error) if error.is_unavailable() && !rows.is_empty() => {
                tracing::error!(%error, "a new signing key could not be kept; the old one goes on");
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    Keys::new(entries(&rows, now).map_err(|error| failed(&error))?).map_err(|error| failed(&error))
}

/// The keys that are kept, after the one that is due.
async fn renewed(store: &Store, now: Timestamp, entropy: &dyn Entropy) -> Result<Vec<SigningKeyRow>, StoreError> {
    let mut tx = store.begin().await?;
    let mut rows = tx.keys().list(now).await?;
    // Seen from inside the transaction: another node may have been quicker.
    if let Ok(Some(row)) = due(&rows, now, entropy) {
        tx.keys().insert(&row).await?;
        rows.push(row);
    }
    tx.commit().await?;
    Ok(rows)
}

/// A new key, if the newest is missing or about to be old.
fn due(
    rows: &[SigningKeyRow],
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Option<SigningKeyRow>, sekisho_token::KeyError> {
    let newest = rows.iter().map(|row| row.active_from).max();
    let active_from = match newest {
        None => now,
        Some(newest) if plus(newest, SIGNS - ANNOUNCED) <= now => plus(now, ANNOUNCED),
        Some(_) => return Ok(None),
    };
    let key = SigningKey::generate(KeyId::generate(now, entropy))?;
    Ok(Some(SigningKeyRow {
        id: key.id(),
        algorithm: "ES256".to_owned(),
        private: sekisho_store::SecretBytes::new(key.to_pkcs8().to_vec()),
        public_jwk: key.public_jwk().to_string(),
        created_at: now,
        active_from,
        retires_at: None,
        removed_at: None,
    }))
}

/// What each kept key does at `now`: the newest that has begun signs, older ones are believed for a while (ATK-174).
fn entries(rows: &[SigningKeyRow], now: Timestamp) -> Result<Vec<KeyEntry>, sekisho_token::KeyError> {
    let begun = rows.iter().filter(|row| row.active_from <= now).max_by_key(|row| (row.active_from, row.id));
    // If the clock was ahead when all of them were made and was set right, the oldest signs: tokens have to be made.
    let signer = begun.or_else(|| rows.iter().min_by_key(|row| (row.active_from, row.id)));
    let signer_from = signer.map_or(now, |row| row.active_from);
    let believed_until = plus(signer_from, BELIEVED);
    let mut entries = Vec::new();
    for row in rows {
        let duty = if signer.is_some_and(|signer| signer.id == row.id) {
            KeyDuty::Sign
        } else if row.active_from > now {
            KeyDuty::Announce
        } else if now < believed_until {
            KeyDuty::Verify { until: believed_until }
        } else {
            continue;
        };
        entries.push(KeyEntry { key: SigningKey::from_pkcs8(row.id, row.private.expose())?, duty });
    }
    Ok(entries)
}

fn plus(at: Timestamp, time: Duration) -> Timestamp {
    after(at, u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};

    use super::{due, entries};
    use sekisho_token::KeyDuty;

    /// ATK-60: keys are renewed, published before they sign, and not believed for ever.
    #[test]
    fn a_key_is_announced_signs_and_retires() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::default());
        let mut rows = vec![due(&[], clock.now(), &entropy).unwrap().unwrap()];
        assert!(due(&rows, clock.now(), &entropy).unwrap().is_none());
        clock.advance_seconds(30 * 24 * 3600);
        rows.push(due(&rows, clock.now(), &entropy).unwrap().unwrap());
        let duties = |now| entries(&rows, now).unwrap().iter().map(|entry| entry.duty).collect::<Vec<_>>();
        assert_eq!(duties(clock.now()), [KeyDuty::Sign, KeyDuty::Announce]);
        clock.advance_seconds(3600);
        assert!(matches!(duties(clock.now())[..], [KeyDuty::Verify { .. }, KeyDuty::Sign]));
        clock.advance_seconds(3600);
        assert_eq!(duties(clock.now()), [KeyDuty::Sign]);
    }

    /// A key that signs has been in the published set for at least five minutes: so long caches may keep the set
    /// (`max-age=300`), and four client and gateway libraries ask for it again only 6 to 65 seconds after they met a key that
    /// they do not know. The very first key is the exception: nothing was published before it. Here the program runs for a
    /// year, and is off for an hour, a day or two months in between.
    #[test]
    fn no_key_signs_before_it_was_published_for_five_minutes() {
        const CACHED_SECONDS: i64 = 300;
        for off_seconds in [60, 3600, 24 * 3600, 60 * 24 * 3600] {
            let (clock, entropy) = (ManualClock::default(), SeededEntropy::default());
            let mut rows = vec![due(&[], clock.now(), &entropy).unwrap().unwrap()];
            let mut published = std::collections::HashMap::from([(rows[0].id, None)]);
            let mut signers = std::collections::HashSet::new();
            for round in 0..800_u32 {
                clock.advance_seconds(if round % 200 == 199 { off_seconds } else { 6 * 3600 - round % 7 });
                rows.extend(due(&rows, clock.now(), &entropy).unwrap());
                for minute in (0..70).step_by(5) {
                    let now = super::plus(clock.now(), std::time::Duration::from_secs(60 * minute));
                    for entry in entries(&rows, now).unwrap() {
                        let since = *published.entry(entry.key.id()).or_insert(Some(now));
                        if entry.duty == KeyDuty::Sign {
                            signers.insert(entry.key.id());
                            let seconds = since.map(|since| now.as_second() - since.as_second());
                            assert!(seconds.is_none_or(|seconds| seconds >= CACHED_SECONDS), "{seconds:?}");
                        }
                    }
                }
            }
            assert!(signers.len() > 5, "{}", signers.len());
        }
    }

    /// ATK-174: if the clock is earlier than the beginning of every key, the oldest key signs.
    #[test]
    fn a_clock_that_is_behind_leaves_a_key_that_signs() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::default());
        let row = due(&[], clock.now(), &entropy).unwrap().unwrap();
        clock.set(sekisho_protocol::env::Timestamp::from_second(86_400).unwrap());
        let entries = entries(&[row], clock.now()).unwrap();
        assert_eq!(entries.iter().map(|entry| entry.duty).collect::<Vec<_>>(), [KeyDuty::Sign]);
    }
}
