use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sekisho_protocol::caller::{ActorPath, Caller, Subject};
use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy};
use sekisho_protocol::ids::{ApprovalId, ClientId, GrantId, ServerName, UserId};
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::method::{Direction, Revision, lookup};
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::McpSessionToken;

use crate::revision::NearRevision;

use super::{HOLDER_FACTOR, NewSession, OpenRequest, QUESTIONS_MAX, Sessions};

fn caller(user: u64, client: &str, grant: u64) -> Caller {
    let now = ManualClock::default().now();
    let client = ClientId::parse(client).unwrap();
    Caller::of_test(1, |granted| {
        granted.subject = Subject::User(UserId::generate(now, &SeededEntropy::from_seed(user)));
        (granted.path, granted.client) = (ActorPath::direct(client.clone()), client);
        granted.grant = GrantId::generate(now, &SeededEntropy::from_seed(grant));
    })
}

fn server(name: &str) -> ServerName {
    name.parse().unwrap()
}

fn open(sessions: &Sessions, caller: &Caller, entropy: &SeededEntropy) -> String {
    let (server, near) = (server("notes"), NearRevision(Revision::V2025_11_25));
    let new =
        NewSession { caller, source: None, server: &server, near, far: None, elicits_urls: false, has_tools: false };
    let id = McpSessionToken::generate(entropy).expose().to_owned();
    sessions.open(&id, new);
    id
}

/// RS-47, RS-49, PX-19, ATK-71: a session exists only for its subject, client and server.
#[test]
fn a_session_is_nobody_elses() {
    let sessions = Sessions::new(8, Duration::from_secs(60));
    let alice = caller(1, "cli_a", 1);
    let token = open(&sessions, &alice, &SeededEntropy::default());
    assert!(sessions.find(&token, &alice, &server("notes")).is_some());
    for (foreign, at) in
        [(caller(2, "cli_a", 1), "notes"), (caller(1, "cli_b", 1), "notes"), (caller(1, "cli_a", 1), "other")]
    {
        assert!(sessions.find(&token, &foreign, &server(at)).is_none(), "{foreign:?} {at}");
    }
    // Fixation: an identifier that we did not make is unknown, whoever brings it.
    for chosen in ["", "1", "sks_ms_chosen", &format!("{token} "), &token.to_lowercase()] {
        assert!(sessions.find(chosen, &alice, &server("notes")).is_none(), "{chosen}");
    }
}

/// RS-48, ATK-71: identifiers are visible ASCII, long, and have nothing in common but the prefix.
#[test]
fn session_identifiers_are_visible_and_without_sequence() {
    let sessions = Sessions::new(8, Duration::from_secs(60));
    let entropy = SeededEntropy::default();
    let alice = caller(1, "cli_a", 1);
    let tokens: HashSet<String> = (0..1000).map(|_| open(&sessions, &alice, &entropy)).collect();
    assert_eq!(tokens.len(), 1000);
    for token in &tokens {
        assert!(token.bytes().all(|byte| (0x21..=0x7E).contains(&byte)), "{token}");
        assert!(token.len() >= 48, "{token}");
    }
}

/// RS-21, ATK-59: after a step-up the client goes on in its session, which now ends with the new grant.
#[test]
fn a_session_goes_over_to_the_next_grant_of_its_party() {
    let sessions = Sessions::new(8, Duration::from_secs(60));
    let (before, after) = (caller(1, "cli_a", 1), caller(1, "cli_a", 2));
    let token = open(&sessions, &before, &SeededEntropy::default());
    assert!(sessions.find(&token, &after, &server("notes")).is_some());
    assert_eq!(sessions.end_of_grants(&HashSet::from([before.grant().unwrap()])).len(), 0);
    assert_eq!(sessions.end_of_grants(&HashSet::from([after.grant().unwrap()])).len(), 1);
    assert!(sessions.find(&token, &after, &server("notes")).is_none());
}

#[test]
fn the_session_that_was_idle_longest_gives_way() {
    let sessions = Sessions::new(2, Duration::from_secs(60));
    let entropy = SeededEntropy::default();
    let alice = caller(1, "cli_a", 1);
    let tokens: Vec<String> = (0..5).map(|_| open(&sessions, &alice, &entropy)).collect();
    let alive = tokens.iter().filter(|token| sessions.find(token, &alice, &server("notes")).is_some()).count();
    assert_eq!(alive, 2);
    let bob = caller(2, "cli_a", 2);
    let other = open(&sessions, &bob, &entropy);
    assert!(sessions.find(&other, &bob, &server("notes")).is_some());
    assert_eq!(sessions.end_of_grants(&HashSet::from([bob.grant().unwrap()])).len(), 1);
    assert!(sessions.find(&other, &bob, &server("notes")).is_none());
}

/// ATK-71: a second standing stream of one session is refused until the first has ended.
#[test]
fn a_session_has_one_standing_stream() {
    let sessions = Sessions::new(2, Duration::from_secs(60));
    let alice = caller(1, "cli_a", 1);
    let token = open(&sessions, &alice, &SeededEntropy::default());
    let session = sessions.find(&token, &alice, &server("notes")).unwrap();
    let place = session.take_standing().unwrap();
    assert!(session.take_standing().is_none());
    drop(place);
    assert!(session.take_standing().is_some());
}

/// PX-20, ATK-146: an answer is recognised once, by the request of this session that it belongs to. Before that no
/// other request can have the same id. A request that was not sent leaves its id free.
#[test]
fn an_answer_belongs_to_a_request_of_its_session_once() {
    let sessions = Sessions::new(2, Duration::from_secs(60));
    let alice = caller(1, "cli_a", 1);
    let token = open(&sessions, &alice, &SeededEntropy::default());
    let session: Arc<_> = sessions.find(&token, &alice, &server("notes")).unwrap();
    let row = |method| lookup(Revision::V2025_11_25, Direction::ClientToServer, method).unwrap();
    let sent = |id: &Id, method| {
        let open = session.opens(id, row(method));
        open.iter().for_each(OpenRequest::mark_sent);
        open.is_some()
    };
    let answered = |id: &Id| session.answered(id).map(|row| row.name);
    let (one, text) = (Id::Integer(1), Id::String("1".to_owned()));
    drop(session.opens(&one, row("tools/call")).unwrap());
    assert!(sent(&one, "tools/list") && !sent(&one, "tools/call"));
    assert_eq!(answered(&text), None);
    assert!(sent(&text, "prompts/list"));
    assert_eq!((answered(&one), answered(&one)), (Some("tools/list"), None));
    // A late drop frees nothing that has the id now.
    let late = session.opens(&one, row("tools/list")).unwrap();
    assert_eq!(answered(&one), Some("tools/list"));
    assert!(sent(&one, "tools/call"));
    drop(late);
    assert_eq!(answered(&one), Some("tools/call"));
    for id in 0..5000 {
        assert!(sent(&Id::Integer(id), "tools/list"));
    }
    assert_eq!((answered(&Id::Integer(0)), answered(&Id::Integer(4999))), (None, Some("tools/list")));
}

/// ATK-153: a party, a user with many clients and the anonymous callers of one network each have a bound. Beyond it,
/// one of their own sessions gives way, and nobody else's.
#[test]
fn sessions_give_way_to_those_of_the_same_holder() {
    let (entropy, sessions) = (SeededEntropy::default(), Sessions::new(2, Duration::from_secs(60)));
    let open = |caller: &Caller, source: Option<&str>| {
        let (server, near) = (server("notes"), NearRevision(Revision::V2025_11_25));
        let source = source.map(|text| text.parse().unwrap());
        let (far, elicits_urls, has_tools) = (None, false, false);
        let new = NewSession { caller, source, server: &server, near, far, elicits_urls, has_tools };
        let id = McpSessionToken::generate(&entropy).expose().to_owned();
        sessions.open(&id, new);
        id
    };
    let alive = |caller: &Caller, tokens: &[String]| {
        tokens.iter().filter(|token| sessions.find(token, caller, &server("notes")).is_some()).count()
    };
    let bob = caller(2, "cli_b", 2);
    let bobs = [open(&bob, None)];
    let clients: Vec<Caller> = (0..40).map(|client| caller(1, &format!("cli_{client}"), client + 10)).collect();
    let tokens: Vec<String> = clients.iter().map(|client| open(client, None)).collect();
    let left = clients.iter().zip(&tokens).filter(|(client, token)| alive(client, &[(*token).clone()]) == 1).count();
    assert_eq!((left, alive(&bob, &bobs)), (2 * HOLDER_FACTOR, 1));
    let nobody = Caller::anonymous(ScopeSet::empty());
    let there = [open(&nobody, Some("2001:db8::1"))];
    let here: Vec<String> = (0..10).map(|_| open(&nobody, Some("192.0.2.1"))).collect();
    assert_eq!((alive(&nobody, &here), alive(&nobody, &there), alive(&bob, &bobs)), (2, 1, 1));
}

/// ATK-284: a session of an earlier process is continued once. It is not after it has ended, or if another session
/// would have to give way.
#[test]
fn a_session_of_an_earlier_process_does_not_come_back_after_its_end() {
    let (entropy, sessions) = (SeededEntropy::default(), Sessions::new(2, Duration::from_secs(60)));
    let (alice, bob) = (caller(1, "cli_a", 1), caller(2, "cli_b", 2));
    let notes = server("notes");
    let revive = |id: &str, caller: &Caller| {
        let (near, far) = (NearRevision(Revision::V2025_11_25), None);
        let (elicits_urls, has_tools) = (false, false);
        let new = NewSession { caller, source: None, server: &notes, near, far, elicits_urls, has_tools };
        sessions.revive(id, new)
    };
    let id = || format!("{}.sealed", McpSessionToken::generate(&entropy).expose());
    let first = id();
    assert!(sessions.find(&first, &alice, &notes).is_none());
    let revived = revive(&first, &alice).unwrap();
    assert!(Arc::ptr_eq(&revived, &sessions.find(&first, &alice, &notes).unwrap()));
    assert!(Arc::ptr_eq(&revived, &revive(&first, &alice).unwrap()), "two requests at once get one session");
    assert!(revive(&first, &bob).is_none());
    // The identifier proper alone is no name of it, and neither is one with something else behind it.
    let (token, _) = super::identifier::parts(&first);
    for other in [token.to_owned(), format!("{token}.other")] {
        assert!(sessions.find(&other, &alice, &notes).is_none(), "{other}");
    }
    sessions.end(&revived);
    assert!(sessions.find(&first, &alice, &notes).is_none() && revive(&first, &alice).is_none());
    let (second, third, fourth) = (id(), id(), id());
    assert!(revive(&second, &alice).is_some() && revive(&third, &alice).is_some());
    assert!(revive(&fourth, &alice).is_none(), "nobody gives way to it");
    assert!(sessions.find(&second, &alice, &notes).is_some());
    let grants = HashSet::from([alice.grant().unwrap()]);
    assert_eq!(sessions.end_of_grants(&grants).len(), 2);
    assert!(revive(&second, &alice).is_none() && revive(&third, &alice).is_none());
}

/// 2025-11-25 Elicitation: an answer of a person is told once, in the session that asked. Beyond the bound, the oldest
/// questions are no longer waited for.
#[tokio::test]
async fn a_session_hears_of_its_own_questions_alone() {
    let (entropy, sessions) = (SeededEntropy::default(), Sessions::new(8, Duration::from_secs(60)));
    let me = caller(1, "cli_a", 1);
    let [asking, other] = [0, 1].map(|_| {
        let token = open(&sessions, &me, &entropy);
        sessions.find(&token, &me, &server("notes")).unwrap()
    });
    let question = || ApprovalId::generate(ManualClock::default().now(), &entropy);
    let asked: Vec<ApprovalId> = std::iter::repeat_with(question).take(QUESTIONS_MAX + 1).collect();
    for question in &asked {
        asking.asks(&question.to_string());
        asking.asks(&question.to_string());
    }
    for answered in [asked[0], asked[1], asked[1], question(), asked[QUESTIONS_MAX]] {
        sessions.is_answered(&answered.to_string());
    }
    assert_eq!(asking.next_over().now_or_never(), Some(asked[1].to_string()));
    assert_eq!(asking.next_over().now_or_never(), Some(asked[QUESTIONS_MAX].to_string()));
    assert_eq!(asking.next_over().now_or_never(), None);
    assert_eq!(other.next_over().now_or_never(), None);
}
