//! What an update does not say, and what clients of others send.

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::company::{Company, ENTERPRISE, GROUP, patch, person};

/// What an update does not say stays: nobody is let in by leaving `active` out, or by taking it away.
#[tokio::test]
async fn an_update_that_does_not_say_active_lets_nobody_in() {
    let company = Company::new().await;
    let id = company.provisioned("ada").await;
    let path = format!("/Users/{id}");
    let set = |value: bool| patch(&json!([{ "op": "replace", "path": "active", "value": value }]));
    let mut whole = person("ada");
    whole.as_object_mut().unwrap().remove("active");
    whole["title"] = json!("Countess");
    let taken = patch(&json!([{ "op": "remove", "path": "active" }]));
    for active in [false, true] {
        assert_eq!(company.call(Method::PATCH, &path, &set(active)).await.body["active"], active);
        for (method, body) in [(Method::PUT, &whole), (Method::PATCH, &taken)] {
            let answer = company.call(method, &path, body).await;
            assert_eq!((answer.status, &answer.body["active"]), (StatusCode::OK, &json!(active)), "{}", answer.body);
            assert_eq!(company.user(&id).await.unwrap().disabled, !active);
        }
    }
}

/// What clients of others do: search by POST, take a member back as it was shown, and send an extension back as it was shown.
#[tokio::test]
async fn the_requests_of_other_clients_are_answered() {
    let company = Company::new().await;
    let ids = [company.provisioned("ada").await, company.provisioned("grace").await];
    let search = |more: Value| {
        let mut body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"] });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        body
    };
    let asked = search(json!({ "filter": "userName sw \"g\"", "attributes": ["userName", "active"], "count": 1 }));
    let found = company.call(Method::POST, "/Users/.search", &asked).await;
    assert_eq!((found.status, &found.body["totalResults"]), (StatusCode::OK, &json!(1)), "{}", found.body);
    assert_eq!(found.body["Resources"][0]["id"], ids[1].as_str());
    assert_eq!(found.body["Resources"][0].get("emails"), None);
    for (path, body, status) in [
        ("/Users/.search", search(json!({ "filter": 7 })), 400),
        ("/Users/.search", search(json!({ "attributes": [1] })), 400),
        ("/Users/.search", search(json!({ "count": {} })), 400),
        ("/Users/.search", search(json!({ "sortBy": "userName" })), 501),
        ("/Users/.search", json!({ "filter": "userName pr" }), 400),
        ("/Users/.search", json!([]), 400),
        ("/.search", search(json!({})), 501),
    ] {
        assert_eq!(company.call(Method::POST, path, &body).await.status.as_u16(), status, "{path} {body}");
    }
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    let group = json!({ "schemas": [GROUP], "displayName": "Engineers", "members": members });
    let group = company.call(Method::POST, "/Groups", &group).await.body;
    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    let mut shown = group["members"][0].clone();
    shown["type"] = json!("User");
    let gone = patch(&json!([{ "op": "remove", "path": "members", "value": [shown] }]));
    assert_eq!(company.call(Method::PATCH, &path, &gone).await.status, StatusCode::NO_CONTENT);
    assert_eq!(company.get(&path).await.body["members"].as_array().unwrap().len(), 1);
    let back = json!({ "schemas": [ENTERPRISE], "department": "Compilers" });
    let changed = patch(&json!([{ "op": "replace", "path": ENTERPRISE, "value": back }]));
    let changed = company.call(Method::PATCH, &format!("/Users/{}", ids[0]), &changed).await;
    assert_eq!((changed.status, &changed.body[ENTERPRISE]["department"]), (StatusCode::OK, &json!("Compilers")));
    // A method that is not there is that, whatever is sent with it.
    let mut request = company.request(&Method::POST, "/Schemas", None);
    request.headers_mut().remove(CONTENT_TYPE);
    assert_eq!(company.send(request).await.status, StatusCode::METHOD_NOT_ALLOWED);
}
