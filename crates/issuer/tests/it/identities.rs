//! Identities at providers as acts: who signs in, who is linked, and what a link that is undone takes along.

use std::collections::BTreeSet;

use sekisho_acts::identity::{OpenWays, Presented, Unlink, link, sign_in, unlink};
use sekisho_acts::{ActError, Performer, user};
use sekisho_protocol::audit::{ActKind, Actor};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::{NodeId, RequestId, UserId};
use sekisho_protocol::openid::ProviderName;
use sekisho_protocol::openid::identity::Identity;
use sekisho_store::Tx;

use crate::harness::Site;

struct People {
    site: Site,
    corp: ProviderName,
    node: NodeId,
}

impl People {
    async fn new() -> Self {
        let site = Site::new().await;
        let node = NodeId::generate(site.clock.now(), &*site.entropy);
        Self { site, corp: "corp".parse().unwrap(), node }
    }

    fn by(&self, actor: Actor) -> Performer<'_> {
        let (now, entropy) = (self.site.clock.now(), &*self.site.entropy);
        Performer { actor, node: self.node, request: RequestId::generate(now, entropy), now, entropy }
    }

    async fn begin(&self) -> Tx {
        self.site.store.begin().await.unwrap()
    }

    /// Signs in whoever this is, with these groups.
    async fn sign_in(&self, subject: &str, shown: &str, groups: &[&str]) -> Result<UserId, ActError> {
        let (identity, groups) = (identity(subject), set(groups));
        let mut tx = self.begin().await;
        let presented =
            Presented { provider: &self.corp, identity: &identity, shown_name: Some(shown), groups: &groups };
        let signed_in = sign_in(&mut tx, &self.by(Actor::Anonymous), presented).await?;
        tx.commit().await.unwrap();
        Ok(signed_in.user)
    }

    async fn link(&self, user: UserId, subject: &str) -> Result<(), ActError> {
        let (identity, groups) = (identity(subject), set(&["corp/engineers"]));
        let mut tx = self.begin().await;
        let presented = Presented { provider: &self.corp, identity: &identity, shown_name: None, groups: &groups };
        link(&mut tx, &self.by(Actor::User(user)), presented).await?;
        tx.commit().await.unwrap();
        Ok(())
    }

    async fn unlink(&self, actor: Actor, user: UserId, subject: &str) -> Result<(), ActError> {
        let mut tx = self.begin().await;
        let identity = identity(subject);
        let open = OpenWays { passwords: true, issuers: &["https://login.example"] };
        let wish = Unlink { user, providers: &[&self.corp], identity: &identity, open };
        unlink(&mut tx, &self.by(actor), wish).await?;
        tx.commit().await.unwrap();
        Ok(())
    }

    async fn groups(&self, user: UserId) -> Vec<String> {
        let mut tx = self.site.store.read().await.unwrap();
        let members = tx.user_groups().of_user(user).await.unwrap();
        members.into_iter().map(|member| member.group).collect()
    }

    async fn name(&self, user: UserId) -> String {
        let mut tx = self.site.store.read().await.unwrap();
        tx.users().find(user).await.unwrap().unwrap().name
    }

    async fn reader(&self) -> UserId {
        let mut tx = self.site.store.read().await.unwrap();
        tx.users().find_by_name("reader").await.unwrap().unwrap().id
    }
}

fn identity(subject: &str) -> Identity {
    Identity { issuer: "https://login.example".to_owned(), subject: subject.to_owned() }
}

fn set(groups: &[&str]) -> BTreeSet<String> {
    groups.iter().map(|group| (*group).to_owned()).collect()
}

/// ATK-308: a name of the provider is no local name, whatever it is made of, and each person has one of their own.
#[tokio::test]
async fn each_identity_has_a_user_and_a_name_of_its_own() {
    let people = People::new().await;
    let first = people.sign_in("1", "Owner", &["corp/engineers"]).await.unwrap();
    let second = people.sign_in("2", "owner", &[]).await.unwrap();
    let third = people.sign_in("3", "corp/engineers: x\u{202e}", &[]).await.unwrap();
    let fourth = people.sign_in("4", "///", &[]).await.unwrap();
    assert_eq!(people.name(first).await, "corp:Owner");
    assert_eq!(people.name(second).await, "corp:owner-2");
    assert_eq!(people.name(third).await, "corp:corp-engineers--x-");
    assert_eq!(people.name(fourth).await, "corp:person");
    assert_eq!(people.sign_in("1", "Renamed", &["corp/auditors"]).await.unwrap(), first);
    assert_eq!(people.name(first).await, "corp:Owner");
    assert_eq!(people.groups(first).await, ["corp/auditors"], "those of the last sign-in, and no others");
}

/// ATK-309: nothing changes for a user who is shut out, neither groups nor records of a sign-in.
#[tokio::test]
async fn a_user_who_is_shut_out_gets_no_groups() {
    let people = People::new().await;
    let ada = people.sign_in("1", "ada", &["corp/engineers"]).await.unwrap();
    let mut tx = people.begin().await;
    user::disable(&mut tx, &people.by(Actor::Operator), "corp:ada").await.unwrap();
    tx.commit().await.unwrap();
    let refused = people.sign_in("1", "ada", &["corp/owners"]).await;
    assert!(matches!(refused, Err(ActError::Invalid(_))), "{refused:?}");
    assert_eq!(people.groups(ada).await, ["corp/engineers"]);
    let acts = people.site.acts().await;
    assert_eq!(acts.iter().filter(|act| **act == ActKind::IdentitySignedIn).count(), 1);
}

/// ATK-82: an identity is linked to one user, by that user, and a link takes along what came with it.
#[tokio::test]
async fn a_link_is_made_by_its_user_and_undone_with_its_groups() {
    let people = People::new().await;
    let (owner, reader) = (people.site.owner, people.reader().await);
    people.link(reader, "1").await.unwrap();
    assert_eq!(people.groups(reader).await, ["corp/engineers"]);
    assert!(matches!(people.link(owner, "1").await, Err(ActError::Exists { .. })));
    assert_eq!(people.sign_in("1", "somebody", &["corp/auditors"]).await.unwrap(), reader);
    // Neither somebody else nor a stranger undoes it.
    assert!(matches!(people.unlink(Actor::Anonymous, reader, "1").await, Err(ActError::NotAllowed(_))));
    let made = people.sign_in("2", "eve", &[]).await.unwrap();
    assert!(matches!(people.unlink(Actor::User(made), reader, "1").await, Err(ActError::NotAllowed(_))));
    assert!(matches!(people.unlink(Actor::User(owner), owner, "1").await, Err(ActError::Absent { .. })));
    people.unlink(Actor::User(reader), reader, "1").await.unwrap();
    assert!(people.groups(reader).await.is_empty());
    // A user who was made for an identity would have no way in without it.
    assert!(matches!(people.unlink(Actor::User(made), made, "2").await, Err(ActError::Absent { .. })));
    assert_ne!(people.sign_in("1", "somebody", &[]).await.unwrap(), reader, "the identity is somebody new");
    let acts = people.site.acts().await;
    assert!(acts.contains(&ActKind::IdentityLinked) && acts.contains(&ActKind::IdentityUnlinked), "{acts:?}");
}
