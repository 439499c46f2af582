//! The documents that tell a provisioning client what is supported (RFC 7644 §4, RFC 7643 §5 and §6).

use serde_json::{Value, json};

use crate::list::PAGE_MAX;
use crate::schema::{ENTERPRISE, Kind};

/// The longest body of a request, in bytes: enough for a group of 10,000 members.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Returns the document at `/ServiceProviderConfig`. `base_url`: the URL of the SCIM endpoints, without a slash at its
/// end.
pub fn service_provider_config(base_url: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": BODY_BYTES_MAX },
        "filter": { "supported": true, "maxResults": PAGE_MAX },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token that an operator makes for the provisioning client",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base_url}/ServiceProviderConfig") },
    })
}

/// Returns the documents at `/ResourceTypes`.
pub fn resource_types(base_url: &str) -> Vec<Value> {
    [Kind::User, Kind::Group]
        .into_iter()
        .map(|kind| {
            let name = kind.as_str();
            let mut document = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
                "id": name,
                "name": name,
                "endpoint": kind.endpoint(),
                "schema": kind.schema(),
                "meta": { "resourceType": "ResourceType", "location": format!("{base_url}/ResourceTypes/{name}") },
            });
            if let (Kind::User, Some(members)) = (kind, document.as_object_mut()) {
                members.insert("schemaExtensions".to_owned(), json!([{ "schema": ENTERPRISE, "required": false }]));
            }
            document
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{resource_types, service_provider_config};
    use crate::schema::{GROUP, USER, documents};

    #[test]
    fn the_documents_speak_of_each_other() {
        let base = "https://sekisho.example/scim/v2";
        let types = resource_types(base);
        let ids: Vec<String> = documents(base).iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        for one in &types {
            assert!(ids.contains(&one["schema"].as_str().unwrap().to_owned()));
            for extension in one["schemaExtensions"].as_array().into_iter().flatten() {
                assert!(ids.contains(&extension["schema"].as_str().unwrap().to_owned()));
            }
        }
        assert_eq!((types[0]["schema"].as_str(), types[1]["schema"].as_str()), (Some(USER), Some(GROUP)));
        let config = service_provider_config(base);
        assert_eq!(config["patch"]["supported"], true);
        assert_eq!(config["bulk"]["supported"], false);
        let user = documents(base).into_iter().next().unwrap();
        let names: Vec<&str> =
            user["attributes"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"userName") && !names.contains(&"password"));
    }
}
