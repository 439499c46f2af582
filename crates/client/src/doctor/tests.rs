use serde_json::{Value, json};

use super::{Depth, Diagnosis, Level, RowState, Trap, examine};
use crate::fixtures::{ISSUER, RESOURCE, issuer_json, resource_id, resource_json};
use crate::http::{Recording, Scripted};

const SERVER: &str = "POST https://server.test/mcp/notes";
const DOCUMENT: &str = "GET https://server.test/.well-known/oauth-protected-resource/mcp/notes";
const METADATA: &str = "GET https://issuer.test/.well-known/oauth-authorization-server";
const CHALLENGE: &str = r#"Bearer scope="mcp:read", resource_metadata="https://server.test/.well-known/oauth-protected-resource/mcp/notes""#;
const WRONG: &str = r#"Bearer error="invalid_token", resource_metadata="https://server.test/.well-known/oauth-protected-resource/mcp/notes""#;

/// A server and an issuer without defects, in which a test changes one thing.
struct Double {
    /// Status and challenge of four answers: without a token, with a wrong one, without one again, and to a foreign
    /// page.
    answers: [(u16, &'static str); 4],
    document: Option<(u16, &'static str, String)>,
    metadata: Option<(u16, &'static str, String)>,
    more: Vec<(String, u16, Value)>,
}

impl Double {
    fn good() -> Self {
        let mut issuer = issuer_json(ISSUER);
        issuer["client_id_metadata_document_supported"] = json!(true);
        Self {
            answers: [(401, CHALLENGE), (401, WRONG), (401, CHALLENGE), (403, "")],
            document: Some((200, "application/json", resource_json().to_string())),
            metadata: Some((200, "application/json", issuer.to_string())),
            more: Vec::new(),
        }
    }

    fn document(mut self, change: impl FnOnce(&mut Value)) -> Self {
        if let Some((_, _, text)) = &mut self.document {
            let mut document: Value = serde_json::from_str(text).unwrap();
            change(&mut document);
            *text = document.to_string();
        }
        self
    }

    fn metadata(mut self, change: impl FnOnce(&mut Value)) -> Self {
        if let Some((_, _, text)) = &mut self.metadata {
            let mut metadata: Value = serde_json::from_str(text).unwrap();
            change(&mut metadata);
            *text = metadata.to_string();
        }
        self
    }

    async fn examined(self) -> Diagnosis {
        let mut http = Scripted::default();
        for (status, challenge) in self.answers {
            let headers: &[(&str, &str)] = if challenge.is_empty() { &[] } else { &[("www-authenticate", challenge)] };
            http = http.with(SERVER, status, headers, "");
        }
        for (line, answer) in [(DOCUMENT, self.document), (METADATA, self.metadata)] {
            if let Some((status, media, body)) = answer {
                http = http.with(line, status, &[("content-type", media), ("location", "/elsewhere")], body);
            }
        }
        for (line, status, body) in self.more {
            http = http.json(&line, status, &body);
        }
        examine(&Recording::new(http), &resource_id(), Depth::default()).await.unwrap()
    }
}

fn broken(diagnosis: &Diagnosis) -> Vec<&'static str> {
    let broken = diagnosis.findings.iter().filter(|finding| finding.standing == RowState::Broken);
    broken.map(|finding| finding.row.id).collect()
}

fn traps(diagnosis: &Diagnosis) -> Vec<Trap> {
    diagnosis.traps.iter().map(|trapped| trapped.trap).collect()
}

/// For a server without defects, no defect is reported.
#[tokio::test]
async fn nothing_is_claimed_of_a_good_server() {
    let diagnosis = Double::good().examined().await;
    assert_eq!((traps(&diagnosis), broken(&diagnosis)), (vec![], vec![]));
    assert_eq!(diagnosis.issuer.as_deref(), Some(ISSUER));
    let met = diagnosis.findings.iter().filter(|finding| finding.standing == RowState::Met).count();
    assert!(met >= 24, "{met}");
    assert_eq!(diagnosis.broken(Level::May).count(), 0);
    let said = diagnosis.findings.iter().all(|finding| !finding.evidence.is_empty() && !finding.row.clause.is_empty());
    assert!(said);
    assert!(diagnosis.steps.len() >= 7, "{:?}", diagnosis.steps);
}

/// One server for each trap: the trap is found and named with the rows that it breaks, and nothing else is reported.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn each_trap_is_found_and_nothing_else() {
    let named = |name: &'static str| move |document: &mut Value| document["resource"] = json!(name);
    let page = (200, "text/html", "<html>".to_owned());
    let with_path = "https://issuer.test/tenant";
    let elsewhere = "GET https://issuer.test/tenant/.well-known/oauth-authorization-server";
    for (double, trap, rows) in [
        (Double::good().document(named("https://server.test/mcp/notes/")), Trap::TrailingSlash, &["RS-05"][..]),
        (Double::good().document(named("https://server.test")), Trap::PathAgainstOrigin, &["RS-05"]),
        (Double::good().document(named("https://server.test/other")), Trap::PathAgainstOrigin, &["RS-05"]),
        (Double::good().document(named("http://localhost:3000/mcp")), Trap::BehindAProxy, &["RS-05"]),
        (Double::good().document(named("https://10.0.0.5/mcp/notes")), Trap::BehindAProxy, &["RS-05"]),
        (Double::good().document(named("http://server.test/mcp/notes")), Trap::WrongScheme, &["RS-06"]),
        (
            Double::good().metadata(|metadata| metadata["token_endpoint"] = json!("http://issuer.test/token")),
            Trap::WrongScheme,
            &["AS-07"],
        ),
        (
            Double::good()
                .metadata(|metadata| metadata["authorization_response_iss_parameter_supported"] = json!(false)),
            Trap::MissingIss,
            &["AS-19"],
        ),
        (
            Double::good().metadata(|metadata| metadata["code_challenge_methods_supported"] = json!(["plain"])),
            Trap::NoS256,
            &["AS-05"],
        ),
        (
            Double::good().metadata(|metadata| {
                metadata["client_id_metadata_document_supported"] = json!(false);
                metadata.as_object_mut().unwrap().remove("registration_endpoint");
            }),
            Trap::RegistrationClosed,
            &["AS-23"],
        ),
        (
            Double::good().metadata(|metadata| metadata["issuer"] = json!("https://issuer.test/")),
            Trap::IssuerMismatch,
            &["RS-12"],
        ),
        (
            Double {
                metadata: None,
                more: vec![(elsewhere.to_owned(), 200, issuer_json(with_path))],
                ..Double::good()
            }
            .document(|document| document["authorization_servers"] = json!([with_path])),
            Trap::WrongWellKnown,
            &["AS-02"],
        ),
        (
            Double { answers: [(401, CHALLENGE), (403, ""), (401, CHALLENGE), (403, "")], ..Double::good() },
            Trap::NotA401,
            &["RS-14"],
        ),
        (
            Double {
                answers: [
                    (401, "Bearer resource_metadata=\"https://x"),
                    (401, WRONG),
                    (401, "Bearer resource_metadata=\"https://x"),
                    (403, ""),
                ],
                ..Double::good()
            },
            Trap::ChallengeUnreadable,
            &["RS-18"],
        ),
        (
            Double { document: Some((401, "application/json", "{}".to_owned())), ..Double::good() },
            Trap::MetadataProtected,
            &["RS-09"],
        ),
        (
            Double { document: Some((302, "text/html", String::new())), ..Double::good() },
            Trap::MetadataRedirects,
            &["RS-07"],
        ),
        (Double { document: Some(page), ..Double::good() }, Trap::NotADocument, &["RS-03"]),
    ] {
        let diagnosis = double.examined().await;
        let found = (traps(&diagnosis), broken(&diagnosis));
        assert_eq!(found, (vec![trap], rows.to_vec()), "{:#?}", diagnosis.findings);
        assert!(!diagnosis.traps[0].evidence.is_empty() && !diagnosis.traps[0].change.is_empty());
    }
}

/// A server that asks for no token gets that report, and not that it names no authorization server.
#[tokio::test]
async fn an_open_server_is_only_told_that_it_is_open() {
    let open = Double { answers: [(200, ""), (200, ""), (200, ""), (200, "")], document: None, ..Double::good() };
    let diagnosis = open.examined().await;
    assert_eq!((traps(&diagnosis), broken(&diagnosis)), (vec![Trap::Unprotected], vec!["RS-13", "TR-02"]));
}

/// If nothing is there, the report says that there is no MCP server, and nothing about tokens.
#[tokio::test]
async fn a_404_is_no_server() {
    for status in [404, 410] {
        let http = Scripted::default().with(SERVER, status, &[], "");
        let error = examine(&Recording::new(http), &resource_id(), Depth::default()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("there is no MCP server at `{RESOURCE}`: a request is answered with {status}")
        );
    }
}

/// A server without metadata has one defect; what follows from it is not counted again.
#[tokio::test]
async fn one_defect_is_one_broken_row() {
    let bare = "Bearer";
    let answers = [(401, bare), (401, "Bearer error=\"invalid_token\""), (401, bare), (403, "")];
    let diagnosis = Double { answers, document: None, ..Double::good() }.examined().await;
    // That the challenge names no metadata is a separate SHOULD.
    assert_eq!(broken(&diagnosis), ["RS-08", "RS-03"]);
    let follows = diagnosis.findings.iter().find(|finding| finding.row.id == "RS-07").unwrap();
    assert_eq!((follows.standing, follows.evidence.as_str()), (RowState::NotVisible, "what RS-03 says comes first"));
    let twice = "Bearer scope=\"a\", scope=\"b\"";
    let unreadable = [(401, twice), (401, WRONG), (401, twice), (403, "")];
    let diagnosis = Double { answers: unreadable, ..Double::good() }.examined().await;
    assert_eq!(broken(&diagnosis), ["RS-18"]);
}

/// Microsoft Entra is recognised by its host, even if everything else is right.
#[tokio::test]
async fn entra_is_known_by_its_host() {
    let entra = "https://login.microsoftonline.com/tenant/v2.0";
    let metadata = "GET https://login.microsoftonline.com/.well-known/oauth-authorization-server/tenant/v2.0";
    let mut issuer = issuer_json(entra);
    issuer["client_id_metadata_document_supported"] = json!(true);
    let double = Double { more: vec![(metadata.to_owned(), 200, issuer)], ..Double::good() }
        .document(|document| document["authorization_servers"] = json!([entra]));
    let diagnosis = double.examined().await;
    assert_eq!((traps(&diagnosis), broken(&diagnosis)), (vec![Trap::EntraAndResource], vec![]));
    assert!(diagnosis.consequences.iter().any(|consequence| consequence.client == "VS Code"));
}

/// Nothing that a server says moves the cursor of the terminal that shows the report.
#[tokio::test]
async fn evidence_is_presentable() {
    let double =
        Double::good().document(|document| document["resource"] = json!("https://server.test/\u{1b}[2J\u{202e}x"));
    let diagnosis = double.examined().await;
    assert_eq!(broken(&diagnosis), ["RS-06"]);
    for finding in &diagnosis.findings {
        assert!(!finding.evidence.contains(['\u{1b}', '\u{202e}']), "{finding:?}");
    }
    assert_eq!(diagnosis.server, RESOURCE);
}
