//! Approvals: one open for one call, answered once by the person who is asked, used once.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::ApprovalId;
use sekisho_store::{APPROVALS_OPEN_PER_GRANT_MAX, Approval, NewApproval, NewGrant, SecretBytes, StoreError};

use crate::harness::{CONTENDERS, World, on_both, race, winners};
use crate::things::{digest, keep, server};

async fn ask(world: &World, new: &NewApproval, seconds: u32) -> Result<Approval, StoreError> {
    let mut tx = world.begin().await;
    let approval = tx.approvals().ask(new, world.at(seconds)).await?;
    tx.commit().await?;
    Ok(approval)
}

async fn decide(world: &World, id: ApprovalId, by: &Subject, approve: bool, seconds: u32) -> bool {
    let mut tx = world.begin().await;
    let decided = tx.approvals().decide(id, by, approve, world.at(seconds)).await.unwrap();
    tx.commit().await.unwrap();
    decided
}

/// An approval that was asked for is kept whole, and its arguments come back as they were.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_comes_back_as_it_was_asked_for() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let task = world.kept_task(&grant, None).await.id;
        let beside = br#"{"_meta":{"a":1}}"#;
        let new = NewApproval {
            task: Some(task),
            arguments_left_out: 7,
            beside: Some(SecretBytes::new(beside.to_vec())),
            ..world.approval(&grant, "call")
        };
        let asked = ask(&world, &new, 1).await.unwrap();
        let mut tx = world.begin().await;
        let found = tx.approvals().find(new.id).await.unwrap().unwrap();
        for kept in [asked, found] {
            assert_eq!((kept.id, kept.digest, &kept.subject), (new.id, new.digest, &new.subject));
            assert_eq!((&kept.client, kept.grant, &kept.server), (&new.client, new.grant, &new.server));
            assert_eq!((kept.tool, kept.task, kept.rule), (new.tool.clone(), new.task, new.rule.clone()));
            assert_eq!((kept.reason, kept.request), (new.reason.clone(), new.request));
            assert_eq!((kept.created_at, kept.expires_at), (world.at(1), world.at(60)));
            assert_eq!((kept.decided_at, kept.approved, kept.used_at), (None, None, None));
            assert_eq!(kept.arguments.unwrap().expose(), br#"{"note":"call"}"#);
            assert_eq!((kept.arguments_left_out, kept.beside.unwrap().expose()), (7, beside.as_slice()));
        }
        let plain = NewApproval { arguments: None, reason: None, ..world.approval(&grant, "another call") };
        assert!(tx.approvals().ask(&plain, world.now).await.unwrap().arguments.is_none());
        assert!(tx.approvals().find(world.approval(&grant, "call").id).await.unwrap().is_none());
    })
    .await;
}

/// ATK-58: the arguments of a call cannot be read in the database.
#[tokio::test(flavor = "multi_thread")]
async fn the_arguments_of_a_call_are_sealed() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        ask(&world, &world.approval(&grant, "a private matter"), 0).await.unwrap();
        let sealed = world.raw().await.blobs("SELECT arguments AS found FROM approvals").await;
        assert_eq!(sealed.len(), 1);
        assert!(!sealed[0].windows(7).any(|window| window == b"private"));
    })
    .await;
}

/// Of all who ask for the same call at the same moment, everybody gets the same approval.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_who_ask_for_one_call_get_one_approval() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        // One is there already and has expired: it is in nobody's way.
        ask(&world, &world.approval(&grant, "call"), 0).await.unwrap();
        let asked: Vec<_> = (0..CONTENDERS)
            .map(|_| NewApproval { expires_at: world.at(120), ..world.approval(&grant, "call") })
            .collect();
        let now = world.at(60);
        let found = race(&world, |store, number| {
            let new = asked[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                let approval = tx.approvals().ask(&new, now).await?;
                tx.commit().await?;
                Ok(approval.id)
            }
        })
        .await;
        let mut found: Vec<_> = found.into_iter().map(|id| id.unwrap()).collect();
        found.dedup();
        assert_eq!(found.len(), 1);
        let mut tx = world.begin().await;
        let pending = tx.approvals().pending_of_subject(&grant.subject, now).await.unwrap();
        assert_eq!(pending.iter().map(|approval| approval.id).collect::<Vec<_>>(), found);
    })
    .await;
}

/// A yes to one call is used by exactly one of all who need it at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_used_by_one_of_sixty_four() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let approval = ask(&world, &world.approval(&grant, "call"), 0).await.unwrap();
        assert!(decide(&world, approval.id, &grant.subject, true, 1).await);
        let (grant, now) = (grant.id, world.at(2));
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            let won = tx.approvals().consume(grant, &digest("call"), now).await?;
            tx.commit().await?;
            Ok(won)
        })
        .await;
        assert_eq!(winners(found), 1);
    })
    .await;
}

/// A person's answer is one, whatever is pressed at the same moment in how many windows.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_decided_by_one_of_sixty_four() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let id = ask(&world, &world.approval(&grant, "call"), 0).await.unwrap().id;
        let now = world.at(1);
        let found = race(&world, |store, number| {
            let subject = grant.subject.clone();
            async move {
                let mut tx = store.begin().await?;
                let won = tx.approvals().decide(id, &subject, number % 2 == 0, now).await?;
                tx.commit().await?;
                Ok(won.then_some(number % 2 == 0))
            }
        })
        .await;
        let won: Vec<bool> = found.into_iter().filter_map(|result| result.unwrap()).collect();
        let kept = world.begin().await.approvals().find(id).await.unwrap().unwrap();
        assert_eq!((won.len(), won.first().copied()), (1, kept.approved));
        assert_eq!(kept.decided_at, Some(now));
    })
    .await;
}

/// Only the subject that is asked answers, only in time, and only while the grant is alive.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_decides_and_nobody_decides_late() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let bob = Subject::User(world.kept_user("bob").await.id);
        let other = world.grant(grant.subject.clone());
        keep(&world.store, &[&other]).await;
        let id = ask(&world, &world.approval(&grant, "call"), 0).await.unwrap().id;
        let ended = ask(&world, &world.approval(&other, "call"), 0).await.unwrap().id;
        let mut tx = world.begin().await;
        tx.grants().revoke(other.id, "test", world.at(1)).await.unwrap();
        tx.commit().await.unwrap();
        for by in [&bob, &Subject::Anonymous] {
            assert!(!decide(&world, id, by, true, 1).await);
        }
        assert!(!decide(&world, ended, &other.subject, true, 1).await);
        assert!(!decide(&world, world.approval(&grant, "call").id, &grant.subject, true, 1).await);
        assert!(!decide(&world, id, &grant.subject, true, 60).await);
        let mut tx = world.begin().await;
        assert_eq!(tx.approvals().find(id).await.unwrap().unwrap().approved, None);
        let pending = async |tx: &mut sekisho_store::Tx, by, seconds| {
            let found = tx.approvals().pending_of_subject(by, world.at(seconds)).await.unwrap();
            found.into_iter().map(|approval| approval.id).collect::<Vec<_>>()
        };
        assert_eq!(pending(&mut tx, &grant.subject, 59).await, [id]);
        assert_eq!(pending(&mut tx, &grant.subject, 60).await, []);
        assert_eq!(pending(&mut tx, &bob, 1).await, []);
        tx.rollback().await.unwrap();
        assert!(decide(&world, id, &grant.subject, true, 59).await);
        assert_eq!(pending(&mut world.begin().await, &grant.subject, 59).await, []);
    })
    .await;
}

/// Nothing but an unused, unexpired yes of a living grant can be used; a yes stays open until it is.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_yes_that_still_holds_is_used() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let id = ask(&world, &world.approval(&grant, "call"), 0).await.unwrap().id;
        let declined = ask(&world, &world.approval(&grant, "declined"), 0).await.unwrap();
        let consume = async |call: &str, seconds| {
            let mut tx = world.begin().await;
            let used = tx.approvals().consume(grant.id, &digest(call), world.at(seconds)).await.unwrap();
            tx.commit().await.unwrap();
            used
        };
        assert!(!consume("call", 1).await);
        assert!(decide(&world, id, &grant.subject, true, 1).await);
        assert!(decide(&world, declined.id, &grant.subject, false, 1).await);
        assert!(!consume("declined", 1).await && !consume("another call", 1).await && !consume("call", 60).await);
        let again = ask(&world, &world.approval(&grant, "call"), 2).await.unwrap();
        assert_eq!((again.id, again.approved), (id, Some(true)));
        assert!(again.is_open(world.at(59)) && !again.is_open(world.at(60)));
        // Declined is declined; whoever asks again asks anew.
        let declined = world.begin().await.approvals().find(declined.id).await.unwrap().unwrap();
        assert!(!declined.is_open(world.at(2)));
        assert_ne!(ask(&world, &world.approval(&grant, "declined"), 2).await.unwrap().id, declined.id);
        assert!(consume("call", 3).await && !consume("call", 3).await);
        let mut tx = world.begin().await;
        assert!(tx.approvals().open_of(grant.id, &digest("call"), world.at(3)).await.unwrap().is_none());
        assert_eq!(tx.approvals().find(id).await.unwrap().unwrap().used_at, Some(world.at(3)));
        assert!(tx.approvals().unuse(grant.id, &digest("call"), world.at(4)).await.unwrap());
        tx.grants().revoke(grant.id, "test", world.at(5)).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!consume("call", 5).await);
    })
    .await;
}

/// A yes whose call was never sent is given back once, in time, and never beside another one for the same call.
#[tokio::test(flavor = "multi_thread")]
async fn a_yes_that_was_not_needed_is_given_back() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let id = ask(&world, &world.approval(&grant, "call"), 0).await.unwrap().id;
        assert!(decide(&world, id, &grant.subject, true, 1).await);
        let call = digest("call");
        let mut tx = world.begin().await;
        assert!(!tx.approvals().unuse(grant.id, &call, world.at(2)).await.unwrap());
        assert!(tx.approvals().consume(grant.id, &call, world.at(2)).await.unwrap());
        assert!(!tx.approvals().unuse(grant.id, &call, world.at(60)).await.unwrap());
        assert!(!tx.approvals().unuse(grant.id, &digest("another call"), world.at(2)).await.unwrap());
        assert!(tx.approvals().unuse(grant.id, &call, world.at(3)).await.unwrap());
        assert!(!tx.approvals().unuse(grant.id, &call, world.at(3)).await.unwrap());
        assert_eq!(tx.approvals().open_of(grant.id, &call, world.at(3)).await.unwrap().unwrap().id, id);
        assert!(tx.approvals().consume(grant.id, &call, world.at(4)).await.unwrap());
        let again = tx.approvals().ask(&world.approval(&grant, "call"), world.at(5)).await.unwrap();
        assert_ne!(again.id, id);
        assert!(!tx.approvals().unuse(grant.id, &call, world.at(6)).await.unwrap());
        assert_eq!(tx.approvals().open_of(grant.id, &call, world.at(6)).await.unwrap().unwrap().id, again.id);
    })
    .await;
}

/// Asking, answering, using and giving back the same call at the same moment fails nobody, and of every yes one is used.
#[tokio::test(flavor = "multi_thread")]
async fn giving_back_and_asking_at_the_same_moment_fails_nobody() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let asked: Vec<_> = (0..CONTENDERS).map(|_| world.approval(&grant, "call")).collect();
        let now = world.at(3);
        let found = race(&world, |store, number| {
            let new = asked[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                let open = tx.approvals().ask(&new, now).await?;
                tx.commit().await?;
                let mut tx = store.begin().await?;
                tx.approvals().decide(open.id, &new.subject, true, now).await?;
                tx.commit().await?;
                let mut tx = store.begin().await?;
                let used = tx.approvals().consume(new.grant, &new.digest, now).await?;
                tx.commit().await?;
                let mut tx = store.begin().await?;
                let given = used && tx.approvals().unuse(new.grant, &new.digest, now).await?;
                tx.commit().await?;
                Ok((used, given))
            }
        })
        .await;
        let found: Vec<(bool, bool)> = found.into_iter().map(|done| done.unwrap()).collect();
        let used = found.iter().filter(|(used, given)| *used && !given).count();
        let sealed =
            world.raw().await.blobs("SELECT arguments AS found FROM approvals WHERE used_at IS NOT NULL").await;
        assert_eq!(sealed.len(), used);
    })
    .await;
}

/// Only so many calls of one grant wait for a person, and none of a grant that has ended or is another's.
#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_are_asked_for_and_none_for_a_dead_grant() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let calls: Vec<_> = (0..CONTENDERS).map(|number| world.approval(&grant, &format!("call {number}"))).collect();
        let now = world.at(1);
        let found = race(&world, |store, number| {
            let new = calls[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                match tx.approvals().ask(&new, now).await {
                    Ok(_) => tx.commit().await.map(|()| true),
                    Err(StoreError::Full { .. }) => Ok(false),
                    Err(other) => Err(other),
                }
            }
        })
        .await;
        assert_eq!(winners(found) as i64, APPROVALS_OPEN_PER_GRANT_MAX);
        let open = world.begin().await.approvals().pending_of_subject(&grant.subject, now).await.unwrap();
        // The one that is there is there; another has to wait until these have expired.
        let same = NewApproval { digest: open[0].digest, ..world.approval(&grant, "same") };
        assert_eq!(ask(&world, &same, 2).await.unwrap().id, open[0].id);
        let refused = async |new: &NewApproval, seconds| {
            let error = ask(&world, new, seconds).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        };
        let more = NewApproval { expires_at: world.at(120), ..world.approval(&grant, "more") };
        let full = ask(&world, &more, 59).await.unwrap_err();
        assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
        assert_eq!(ask(&world, &more, 60).await.unwrap().id, more.id);
        let other = NewApproval { expires_at: world.at(120), ..world.approval(&grant, "other") };
        refused(&NewApproval { subject: Subject::Anonymous, ..other.clone() }, 60).await;
        refused(&NewApproval { client: world.client_id(), ..other.clone() }, 60).await;
        refused(&NewApproval { server: server("files"), ..other.clone() }, 60).await;
        let mut tx = world.begin().await;
        tx.grants().revoke(grant.id, "test", world.at(60)).await.unwrap();
        tx.commit().await.unwrap();
        refused(&other, 61).await;
        refused(&more, 61).await;
        let unknown: NewGrant = world.grant(grant.subject.clone());
        refused(&world.approval(&unknown, "call"), 1).await;
    })
    .await;
}

/// An approval is known for a day after it expired, so that whoever comes late is told what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_forgets_approvals_a_day_after_they_expired() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let id = ask(&world, &world.approval(&grant, "call"), 0).await.unwrap().id;
        assert_eq!(world.store.sweep(world.at(86_400 + 59)).await.unwrap(), 0);
        assert!(world.begin().await.approvals().find(id).await.unwrap().is_some());
        assert_eq!(world.store.sweep(world.at(86_400 + 60)).await.unwrap(), 1);
        assert!(world.begin().await.approvals().find(id).await.unwrap().is_none());
    })
    .await;
}
