//! Users and groups as documents (RFC 7643 §4).

use sekisho_acts::scim::group::ProvisionedGroup;
use sekisho_acts::scim::user::ProvisionedUser;
use sekisho_protocol::env::Timestamp;
use sekisho_scim::list::etag;
use sekisho_scim::schema::{ENTERPRISE, Kind};
use sekisho_store::ScimGroupRow;
use serde_json::{Map, Value, json};

use super::answer::Place;

/// Where a user is.
pub(super) fn place_of_user(base_url: &str, user: &ProvisionedUser) -> Place {
    place(base_url, Kind::User, &user.user.id.to_string(), user.row.version)
}

/// Where a group is.
pub(super) fn place_of_group(base_url: &str, row: &ScimGroupRow) -> Place {
    place(base_url, Kind::Group, &row.id.to_string(), row.version)
}

fn place(base_url: &str, kind: Kind, id: &str, version: i64) -> Place {
    Place { location: format!("{base_url}{}/{id}", kind.endpoint()), version }
}

/// A user, in these groups.
pub(super) fn user(base_url: &str, user: &ProvisionedUser, groups: &[ScimGroupRow]) -> Map<String, Value> {
    let mut shown = user.said.clone();
    let schemas = if shown.contains_key(ENTERPRISE) {
        json!([Kind::User.schema(), ENTERPRISE])
    } else {
        json!([Kind::User.schema()])
    };
    shown.insert("schemas".to_owned(), schemas);
    shown.insert("id".to_owned(), json!(user.user.id.to_string()));
    shown.insert("active".to_owned(), json!(user.is_active()));
    if !groups.is_empty() {
        let groups = groups.iter().map(|group| {
            let place = place_of_group(base_url, group);
            json!({ "value": group.id.to_string(), "$ref": place.location, "display": group.display_name, "type": "direct" })
        });
        shown.insert("groups".to_owned(), groups.collect());
    }
    let times = (user.row.created_at, user.row.changed_at);
    shown.insert("meta".to_owned(), meta(Kind::User, &place_of_user(base_url, user), times));
    shown
}

/// A group, with the members that were read.
pub(super) fn group(base_url: &str, group: &ProvisionedGroup) -> Map<String, Value> {
    let mut shown = group.said();
    shown.insert("schemas".to_owned(), json!([Kind::Group.schema()]));
    shown.insert("id".to_owned(), json!(group.row.id.to_string()));
    if !group.members.is_empty() {
        let members = group.members.iter().map(|user| {
            let id = user.to_string();
            let place = place(base_url, Kind::User, &id, 0);
            json!({ "value": id, "$ref": place.location })
        });
        shown.insert("members".to_owned(), members.collect());
    }
    let times = (group.row.created_at, group.row.changed_at);
    shown.insert("meta".to_owned(), meta(Kind::Group, &place_of_group(base_url, &group.row), times));
    shown
}

fn meta(kind: Kind, place: &Place, (created, changed): (Timestamp, Timestamp)) -> Value {
    json!({
        "resourceType": kind.as_str(),
        "created": created.to_string(),
        "lastModified": changed.to_string(),
        "location": place.location,
        "version": etag(place.version),
    })
}
