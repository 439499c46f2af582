//! Requests for access and loans: asked for once, answered once, in force only while everything they hang on is.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::{LoanId, UserId};
use sekisho_store::{
    ACCESS_REASON_CHARS_MAX, ACCESS_REQUESTS_OPEN_PER_SUBJECT_MAX, AccessRequest, ChangeKind, Loan, NewAccessRequest,
    NewGrant, NewLoan, NewTask, StoreError, TaskPlace, Tx,
};

use crate::harness::{CONTENDERS, World, announced, on_both, race, winners};
use crate::things::{keep, server};

async fn file(world: &World, new: &NewAccessRequest) -> Result<AccessRequest, StoreError> {
    let mut tx = world.begin().await;
    let request = tx.access_requests().file(new).await?;
    tx.commit().await?;
    Ok(request)
}

async fn lend(world: &World, loan: &NewLoan) -> bool {
    let mut tx = world.begin().await;
    let lent = tx.loans().lend(loan, "owner", world.now).await.unwrap();
    tx.commit().await.unwrap();
    lent
}

async fn in_force(tx: &mut Tx, world: &World, seconds: u32) -> Vec<LoanId> {
    tx.loans().list(world.at(seconds)).await.unwrap().into_iter().map(|loan| loan.id).collect()
}

fn loans_changed(loans: &[LoanId]) -> Vec<(ChangeKind, String)> {
    let mut changes: Vec<_> = loans.iter().map(|loan| (ChangeKind::Loan, loan.to_string())).collect();
    changes.sort_unstable();
    changes
}

/// The announcements that are about loans.
async fn loans_announced(world: &World, act: impl AsyncFnOnce(&mut Tx)) -> Vec<(ChangeKind, String)> {
    let mut told = announced(world, act).await;
    told.retain(|(kind, _)| *kind == ChangeKind::Loan);
    told
}

/// A request and the loan that answers it are kept whole, and each names the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_granted_becomes_a_loan() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let task = world.kept_task(&grant, None).await.id;
        let new = NewAccessRequest { task: Some(task), ..world.access_request(&grant, "delete_note") };
        let filed = file(&world, &new).await.unwrap();
        let expected = AccessRequest {
            id: new.id,
            subject: new.subject.clone(),
            client: new.client.clone(),
            grant: new.grant,
            task: new.task,
            server: new.server.clone(),
            tool: new.tool.clone(),
            bounds: new.bounds.clone(),
            reason: new.reason.clone(),
            created_at: world.now,
            expires_at: world.at(60),
            decided_at: None,
            decided_by: None,
            loan: None,
        };
        assert_eq!(filed, expected);
        assert!(filed.is_open(world.at(59)) && !filed.is_open(world.at(60)));
        let loan = NewLoan { task: Some(task), bounds: None, ..world.loan(&grant, "delete_note") };
        let told = announced(&world, async |tx| {
            assert_eq!(tx.access_requests().open(world.at(1)).await.unwrap(), std::slice::from_ref(&expected));
            assert!(tx.access_requests().grant(new.id, "owner", &loan, world.at(1)).await.unwrap());
        })
        .await;
        assert_eq!(told, loans_changed(&[loan.id]));
        let mut tx = world.begin().await;
        let answered = AccessRequest {
            decided_at: Some(world.at(1)),
            decided_by: Some("owner".to_owned()),
            loan: Some(loan.id),
            ..expected
        };
        assert_eq!(tx.access_requests().find(new.id).await.unwrap(), Some(answered.clone()));
        assert_eq!(tx.access_requests().of_subject(&grant.subject).await.unwrap(), [answered]);
        assert_eq!(tx.access_requests().of_subject(&Subject::Anonymous).await.unwrap(), []);
        assert_eq!(tx.access_requests().open(world.at(1)).await.unwrap(), []);
        let kept = Loan {
            id: loan.id,
            request: Some(new.id),
            subject: loan.subject.clone(),
            client: loan.client.clone(),
            grant: loan.grant,
            task: Some(task),
            server: loan.server.clone(),
            tool: loan.tool.clone(),
            bounds: None,
            granted_by: "owner".to_owned(),
            created_at: world.at(1),
            expires_at: world.at(60),
            revoked_at: None,
        };
        assert_eq!(tx.loans().find(loan.id).await.unwrap(), Some(kept.clone()));
        assert_eq!(tx.loans().list(world.at(1)).await.unwrap(), [kept]);
        assert_eq!(tx.loans().find(world.loan(&grant, "x").id).await.unwrap(), None);
        assert_eq!(tx.access_requests().find(world.access_request(&grant, "x").id).await.unwrap(), None);
    })
    .await;
}

/// Whoever asks again for the same gets the request that waits, also of all who ask at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_who_ask_for_the_same_access_file_one_request() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let asked: Vec<_> = (0..CONTENDERS).map(|_| world.access_request(&grant, "delete_note")).collect();
        let found = race(&world, |store, number| {
            let new = asked[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                let request = tx.access_requests().file(&new).await?;
                tx.commit().await?;
                Ok(request.id)
            }
        })
        .await;
        let mut found: Vec<_> = found.into_iter().map(|id| id.unwrap()).collect();
        found.dedup();
        assert_eq!(found.len(), 1);
        let task = world.kept_task(&grant, None).await.id;
        for other in [
            world.access_request(&grant, "write_note"),
            NewAccessRequest { task: Some(task), ..world.access_request(&grant, "delete_note") },
        ] {
            assert_eq!(file(&world, &other).await.unwrap().id, other.id);
        }
        // One that has expired is in nobody's way.
        let late = NewAccessRequest {
            created_at: world.at(60),
            expires_at: world.at(120),
            ..world.access_request(&grant, "delete_note")
        };
        assert_eq!(file(&world, &late).await.unwrap().id, late.id);
        let open = world.begin().await.access_requests().open(world.at(60)).await.unwrap();
        assert_eq!(open.iter().map(|request| request.id).collect::<Vec<_>>(), [late.id]);
    })
    .await;
}

/// Only so many requests of one subject wait, over all its grants; none for a grant that has ended or is another's.
#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_requests_of_a_subject_wait() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let ended = world.grant(grant.subject.clone());
        keep(&world.store, &[&ended]).await;
        let mut tx = world.begin().await;
        tx.grants().revoke(ended.id, "test", world.now).await.unwrap();
        tx.commit().await.unwrap();
        let refused = async |new: NewAccessRequest| {
            let error = file(&world, &new).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        };
        let plain = world.access_request(&grant, "write_note");
        refused(world.access_request(&ended, "write_note")).await;
        refused(NewAccessRequest { subject: Subject::Anonymous, ..plain.clone() }).await;
        refused(NewAccessRequest { client: world.client_id(), ..plain.clone() }).await;
        refused(NewAccessRequest { server: server("files"), ..plain.clone() }).await;
        let long = "é".repeat(ACCESS_REASON_CHARS_MAX);
        let error = file(&world, &NewAccessRequest { reason: format!("{long}é"), ..plain }).await.unwrap_err();
        assert!(matches!(error, StoreError::Statement(_)), "{error:?}");
        let grants: Vec<_> = (0..CONTENDERS).map(|_| world.grant(grant.subject.clone())).collect();
        keep(&world.store, &grants.iter().collect::<Vec<_>>()).await;
        let asked: Vec<_> = grants
            .iter()
            .map(|grant| NewAccessRequest { reason: long.clone(), ..world.access_request(grant, "write_note") })
            .collect();
        let found = race(&world, |store, number| {
            let new = asked[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                match tx.access_requests().file(&new).await {
                    Ok(_) => tx.commit().await.map(|()| true),
                    Err(StoreError::Full { .. }) => Ok(false),
                    Err(other) => Err(other),
                }
            }
        })
        .await;
        assert_eq!(winners(found) as i64, ACCESS_REQUESTS_OPEN_PER_SUBJECT_MAX);
        // Who asks again for what waits is not one more.
        let open = world.begin().await.access_requests().open(world.now).await.unwrap();
        let again = asked.iter().find(|new| new.id == open[0].id).unwrap();
        let again = NewAccessRequest { id: world.access_request(&grant, "x").id, ..again.clone() };
        assert_eq!(file(&world, &again).await.unwrap(), open[0]);
    })
    .await;
}

/// A request is answered once, whatever owners press at the same moment, and lends only if it was granted.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_by_one_of_sixty_four() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let id = file(&world, &world.access_request(&grant, "delete_note")).await.unwrap().id;
        let loans: Vec<_> = (0..CONTENDERS).map(|_| world.loan(&grant, "delete_note")).collect();
        let now = world.at(1);
        let found = race(&world, |store, number| {
            let loan = loans[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                let won = if number % 2 == 0 {
                    tx.access_requests().grant(id, "owner", &loan, now).await?
                } else {
                    tx.access_requests().refuse(id, "owner", now).await?
                };
                tx.commit().await?;
                Ok(won)
            }
        })
        .await;
        assert_eq!(winners(found), 1);
        let mut tx = world.begin().await;
        let kept = tx.access_requests().find(id).await.unwrap().unwrap();
        assert_eq!(in_force(&mut tx, &world, 1).await, kept.loan.into_iter().collect::<Vec<_>>());
    })
    .await;
}

/// Asking again while the request is answered fails nobody.
#[tokio::test(flavor = "multi_thread")]
async fn asking_and_answering_at_the_same_moment_fails_nobody() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let asked: Vec<_> = (0..CONTENDERS).map(|_| world.access_request(&grant, "delete_note")).collect();
        let now = world.at(1);
        let found = race(&world, |store, number| {
            let new = asked[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                let open = tx.access_requests().file(&new).await?;
                tx.commit().await?;
                let mut tx = store.begin().await?;
                let refused = tx.access_requests().refuse(open.id, "owner", now).await?;
                tx.commit().await?;
                Ok(refused)
            }
        })
        .await;
        let refused = winners(found);
        let mut tx = world.begin().await;
        let kept = tx.access_requests().of_subject(&grant.subject).await.unwrap();
        assert_eq!((kept.len(), kept.iter().any(|request| request.is_open(now))), (refused, false));
    })
    .await;
}

/// A request is granted in time, for what was asked for, and while grant and task are there; otherwise nothing is lent
/// and the request waits on.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_lent_than_what_was_asked_for() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let other = world.grant(grant.subject.clone());
        keep(&world.store, &[&other]).await;
        let (task, finished) = (world.kept_task(&grant, None).await.id, world.kept_task(&grant, None).await.id);
        let elsewhere = world.kept_task(&other, None).await.id;
        let new = NewAccessRequest { task: Some(task), ..world.access_request(&grant, "delete_note") };
        file(&world, &new).await.unwrap();
        let fitting = NewLoan { task: Some(task), ..world.loan(&grant, "delete_note") };
        let mut tx = world.begin().await;
        tx.tasks().finish(finished, "done", world.at(1)).await.unwrap();
        tx.commit().await.unwrap();
        for (loan, seconds) in [
            (fitting.clone(), 60),
            (NewLoan { task: None, ..fitting.clone() }, 1),
            (NewLoan { task: Some(finished), ..fitting.clone() }, 1),
            (NewLoan { task: Some(elsewhere), ..fitting.clone() }, 1),
            (NewLoan { tool: "write_note".to_owned(), ..fitting.clone() }, 1),
            (NewLoan { server: server("files"), ..fitting.clone() }, 1),
            (NewLoan { task: None, ..world.loan(&other, "delete_note") }, 1),
            (NewLoan { grant: world.grant_id(), ..fitting.clone() }, 1),
        ] {
            let mut tx = world.begin().await;
            let now = world.at(seconds);
            assert!(!tx.access_requests().grant(new.id, "owner", &loan, now).await.unwrap(), "{loan:?}");
            tx.commit().await.unwrap();
        }
        for loan in [
            NewLoan { subject: Subject::Anonymous, ..fitting.clone() },
            NewLoan { client: world.client_id(), ..fitting.clone() },
        ] {
            let mut tx = world.begin().await;
            let error = tx.access_requests().grant(new.id, "owner", &loan, world.at(1)).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        }
        let mut tx = world.begin().await;
        assert_eq!(tx.loans().list(world.at(1)).await.unwrap(), []);
        assert!(!tx.access_requests().refuse(new.id, "owner", world.at(60)).await.unwrap());
        assert!(tx.access_requests().grant(new.id, "owner", &fitting, world.at(59)).await.unwrap());
        assert!(!tx.access_requests().refuse(new.id, "owner", world.at(59)).await.unwrap());
    })
    .await;
}

/// A loan is in force until it expires or is taken back, whichever is first, and it is taken back once.
#[tokio::test(flavor = "multi_thread")]
async fn a_loan_is_taken_back_once() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let (loan, long) = (world.loan(&grant, "a"), NewLoan { expires_at: world.at(90), ..world.loan(&grant, "b") });
        assert!(lend(&world, &loan).await && lend(&world, &long).await);
        let mut tx = world.begin().await;
        let both = in_force(&mut tx, &world, 59).await;
        assert_eq!(both.len(), 2);
        assert!(both.contains(&loan.id) && both.contains(&long.id));
        assert_eq!(in_force(&mut tx, &world, 60).await, [long.id]);
        assert_eq!(in_force(&mut tx, &world, 90).await, []);
        assert!(!tx.loans().revoke(loan.id, world.at(60)).await.unwrap());
        tx.rollback().await.unwrap();
        let revoke = async |tx: &mut Tx| {
            tx.loans().revoke(long.id, world.at(1)).await.unwrap();
        };
        assert_eq!(announced(&world, revoke).await, loans_changed(&[long.id]));
        assert_eq!(announced(&world, revoke).await, []);
        let mut tx = world.begin().await;
        assert_eq!(in_force(&mut tx, &world, 1).await, [loan.id]);
        assert_eq!(tx.loans().find(long.id).await.unwrap().unwrap().revoked_at, Some(world.at(1)));
    })
    .await;
}

/// Nothing is lent where there is nothing to hang it on.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lent_to_what_has_ended() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let expired = NewGrant { expires_at: Some(world.now), ..world.grant(grant.subject.clone()) };
        keep(&world.store, &[&expired]).await;
        let task = world.kept_task(&grant, None).await.id;
        let mut tx = world.begin().await;
        tx.tasks().finish(task, "done", world.now).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!lend(&world, &world.loan(&expired, "a")).await);
        assert!(!lend(&world, &NewLoan { task: Some(task), ..world.loan(&grant, "a") }).await);
        let mut tx = world.begin().await;
        tx.grants().revoke(grant.id, "test", world.now).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!lend(&world, &world.loan(&grant, "a")).await);
        assert_eq!(in_force(&mut world.begin().await, &world, 0).await, []);
    })
    .await;
}

/// What was lent to a task ends when the task is finished or replaced, and that is announced.
#[tokio::test(flavor = "multi_thread")]
async fn a_loan_ends_with_its_task() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let (first, second) = (world.task(&grant, None), world.task(&grant, None));
        let begin = async |task: &NewTask| {
            world.begin_task(&NewTask { place: TaskPlace::Current, ..task.clone() }).await.unwrap();
        };
        begin(&first).await;
        // A derived grant that is held to the same task may be lent to for that task.
        let derived = NewGrant { task: Some(first.id), ..world.derived(&grant) };
        keep(&world.store, &[&derived]).await;
        let to_first = NewLoan { task: Some(first.id), ..world.loan(&grant, "a") };
        let to_derived = NewLoan { task: Some(first.id), ..world.loan(&derived, "a") };
        let to_all = NewLoan { expires_at: world.at(120), ..world.loan(&grant, "b") };
        assert!(lend(&world, &to_first).await && lend(&world, &to_derived).await && lend(&world, &to_all).await);
        let told = loans_announced(&world, async |tx| {
            tx.tasks().begin(&NewTask { place: TaskPlace::Current, ..second.clone() }).await.unwrap();
        })
        .await;
        assert_eq!(told, loans_changed(&[to_first.id, to_derived.id]));
        let to_second = NewLoan { task: Some(second.id), expires_at: world.at(120), ..world.loan(&grant, "a") };
        assert!(lend(&world, &to_second).await);
        let mut tx = world.begin().await;
        // By the passing of time too.
        assert_eq!(in_force(&mut tx, &world, 59).await.len(), 2);
        assert_eq!(in_force(&mut tx, &world, 60).await, [to_all.id]);
        tx.rollback().await.unwrap();
        let told = loans_announced(&world, async |tx| {
            assert!(tx.tasks().finish(second.id, "done", world.at(1)).await.unwrap());
        })
        .await;
        assert_eq!(told, loans_changed(&[to_second.id]));
        assert_eq!(in_force(&mut world.begin().await, &world, 1).await, [to_all.id]);
    })
    .await;
}

/// What was lent to a grant ends with it, and with every grant it is derived from, and that is announced.
#[tokio::test(flavor = "multi_thread")]
async fn a_loan_ends_with_its_grant() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let derived = world.derived(&grant);
        let other = world.grant(grant.subject.clone());
        keep(&world.store, &[&derived, &other]).await;
        let task = world.kept_task(&grant, None).await.id;
        let loans = [
            NewLoan { task: Some(task), ..world.loan(&grant, "a") },
            world.loan(&derived, "a"),
            world.loan(&other, "a"),
        ];
        for loan in &loans {
            assert!(lend(&world, loan).await);
        }
        let told = loans_announced(&world, async |tx| {
            assert!(tx.grants().revoke(grant.id, "test", world.at(1)).await.unwrap());
        })
        .await;
        assert_eq!(told, loans_changed(&[loans[0].id, loans[1].id]));
        let mut tx = world.begin().await;
        assert_eq!(in_force(&mut tx, &world, 1).await, [loans[2].id]);
        assert_eq!(tx.tasks().find(task).await.unwrap().unwrap().ended_at, Some(world.at(1)));
    })
    .await;
}

/// What was lent to a user is not in force while the user is disabled, and that is announced; a service has no user.
#[tokio::test(flavor = "multi_thread")]
async fn a_loan_is_not_in_force_for_a_disabled_user() {
    on_both(async |world| {
        let user = world.kept_user("ada").await.id;
        let (grant, service) = (world.grant(Subject::User(user)), world.grant(Subject::Service(world.client_id())));
        let stranger = world.grant(Subject::User(UserId::generate(world.now, &*world.entropy)));
        keep(&world.store, &[&grant, &service, &stranger]).await;
        let (loan, beside) = (world.loan(&grant, "a"), world.loan(&service, "a"));
        for loan in [&loan, &beside, &world.loan(&stranger, "a")] {
            assert!(lend(&world, loan).await);
        }
        for disabled in [true, false] {
            let told = loans_announced(&world, async |tx| {
                assert!(tx.users().set_disabled(user, disabled).await.unwrap());
            })
            .await;
            assert_eq!(told, loans_changed(&[loan.id]));
            let force = in_force(&mut world.begin().await, &world, 1).await;
            assert_eq!((force.contains(&loan.id), force.contains(&beside.id)), (!disabled, true));
            assert_eq!(force.len(), if disabled { 1 } else { 2 });
        }
    })
    .await;
}

/// ATK-19: a loan that is made while its task is finished comes too late, or is ended and announced with it.
#[tokio::test(flavor = "multi_thread")]
async fn no_loan_escapes_the_end_of_its_task_at_the_same_moment() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let task = world.kept_task(&grant, None).await.id;
        let loans: Vec<_> = (0..CONTENDERS).map(|_| NewLoan { task: Some(task), ..world.loan(&grant, "a") }).collect();
        let now = world.at(1);
        let found = race(&world, |store, number| {
            let loan = loans[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                let won = if number == CONTENDERS / 2 {
                    tx.tasks().finish(task, "done", now).await?
                } else {
                    tx.loans().lend(&loan, "owner", now).await?
                };
                tx.commit().await?;
                Ok(won)
            }
        })
        .await;
        assert!(winners(found) >= 1);
        let mut tx = world.begin().await;
        for loan in &loans {
            let kept = tx.loans().find(loan.id).await.unwrap();
            assert!(kept.is_none_or(|kept| kept.revoked_at == Some(now)));
        }
        assert_eq!(in_force(&mut tx, &world, 1).await, []);
    })
    .await;
}

/// Requests and loans are shown for three months after their end.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_forgets_requests_and_loans_long_after_their_end() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        file(&world, &world.access_request(&grant, "a")).await.unwrap();
        assert!(lend(&world, &NewLoan { expires_at: world.at(90), ..world.loan(&grant, "a") }).await);
        let kept = 90 * 86_400;
        for (seconds, count) in [(kept + 59, 0), (kept + 60, 1), (kept + 89, 0), (kept + 90, 1)] {
            assert_eq!(world.store.sweep(world.at(seconds)).await.unwrap(), count, "after {seconds} seconds");
        }
    })
    .await;
}
