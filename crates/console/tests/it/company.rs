//! A site with a provisioning client, and requests of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use sekisho_acts::Performer;
use sekisho_acts::command::{Command, Outcome, perform};
use sekisho_acts::scim::IdentityRule;
use sekisho_console::scim::{Provisioning, ProvisioningParts};
use sekisho_protocol::audit::{Act, Actor, Event};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{AuditFilter, AuditOrder, User};
use sekisho_web::{SiteParts, SiteSettings};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::harness::{BASE, Site};

pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(crate) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub(crate) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
pub(crate) const ISSUER: &str = "https://login.example";

/// A site with a provisioning client.
pub(crate) struct Company {
    pub(crate) site: Site,
    pub(crate) router: axum::Router,
    pub(crate) token: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Company {
    pub(crate) async fn new() -> Self {
        let site = Site::new().await;
        let rule = IdentityRule::new(ISSUER, &["sub"], BTreeMap::new(), "externalId").unwrap();
        let rules = BTreeMap::from([("corp".to_owned(), rule)]);
        let (now, entropy) = (site.clock.now(), site.entropy.clone());
        let parts = SiteParts {
            store: site.store.clone(),
            clock: site.clock.clone(),
            entropy: entropy.clone(),
            servers: site.servers.subscribe(),
            node: NodeId::generate(now, &*entropy),
            settings: SiteSettings { base_url: BASE.to_owned(), ..SiteSettings::default() },
        };
        let parts = ProvisioningParts { site: sekisho_web::Site::new(parts), rules, refusals: Arc::default() };
        let router = Provisioning::new(parts).programs();
        let mut company = Self { site, router, token: String::new() };
        company.token = company.token_of("corp", "entra").await;
        company
    }

    pub(crate) async fn command(&self, command: Command) -> Outcome {
        let (now, entropy) = (self.site.clock.now(), &*self.site.entropy);
        let (node, request) = (NodeId::generate(now, entropy), RequestId::generate(now, entropy));
        let by = Performer { actor: Actor::Operator, node, request, now, entropy };
        perform(&self.site.store, &by, command).await.unwrap()
    }

    pub(crate) async fn token_of(&self, provider: &str, label: &str) -> String {
        let add = Command::ScimTokenAdd { provider: provider.to_owned(), label: label.to_owned(), seconds: None };
        match self.command(add).await {
            Outcome::ScimToken { token } => token,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> Request<Body> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/scim/v2{path}"))
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/scim+json; charset=utf-8");
        request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        if parts.status.is_client_error() {
            assert_eq!(body["status"], parts.status.as_u16().to_string(), "{body}");
            assert_eq!(parts.headers[CONTENT_TYPE], "application/scim+json");
        }
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(self.request(&method, path, (!body.is_null()).then_some(body))).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// Provisions somebody; the identifier.
    pub(crate) async fn provisioned(&self, name: &str) -> String {
        let answer = self.call(Method::POST, "/Users", &person(name)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn user(&self, id: &str) -> Option<User> {
        self.site.store.read().await.unwrap().users().find(id.parse().unwrap()).await.unwrap()
    }

    /// The acts of provisioning clients, as they are on record: the newest, oldest first.
    pub(crate) async fn acts(&self) -> Vec<Act> {
        let mut tx = self.site.store.read().await.unwrap();
        let newest = AuditFilter { order: AuditOrder::NewestFirst, ..AuditFilter::default() };
        let mut stored = tx.audit().list(&newest).await.unwrap();
        stored.sort_by_key(|stored| stored.seq);
        let acts = stored.into_iter().filter_map(|stored| match stored.record.event {
            Event::Act(act) if act.actor == Actor::Provisioner => Some(act),
            _ => None,
        });
        acts.collect()
    }

    pub(crate) async fn groups_of(&self, id: &str) -> Vec<String> {
        let mut tx = self.site.store.read().await.unwrap();
        let all = tx.user_groups().of_user(id.parse().unwrap()).await.unwrap();
        all.into_iter().map(|one| one.group).collect()
    }
}

pub(crate) fn person(name: &str) -> Value {
    json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": format!("object-{name}"),
        "userName": format!("{name}@example.com"),
        "active": true,
        "emails": [{ "primary": true, "type": "work", "value": format!("{name}@example.com") }],
        "name": { "formatted": "A Person", "familyName": "Person", "givenName": "A" },
        ENTERPRISE: { "department": "Engines" },
    })
}

pub(crate) fn patch(operations: &Value) -> Value {
    json!({ "schemas": [PATCH], "Operations": operations })
}
