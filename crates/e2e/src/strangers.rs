//! The table of what a stranger can request: every endpoint that responds without a token or a session, a request to
//! it, and the bound on all such requests together. `scripts/strangers` measures each; a test checks that none is
//! missing.

/// The body of a stranger's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Nothing.
    Nothing,
    /// A form of these pairs.
    Form(&'static [(&'static str, &'static str)]),
    /// A JSON document.
    Json(&'static str),
    /// The form of the page at the same target, filled in with a new name each time and a wrong password.
    OwnForm,
    /// Nothing, with the cookies of the page at this target.
    CookiesOf(&'static str),
    /// Nothing, with the cookies and the `state` of a sign-in that was begun for it, as long as one can be begun.
    Begun,
    /// A form with a logout token in the provider's name, with a signature of somebody else's key.
    ForgedLogout,
    /// A JSON document, or nothing, with a token of a provisioning client that has the right form and is not known.
    UnknownToken(&'static str),
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// `GET` or `POST`, …; `ANY` for every method.
    pub method: &'static str,
    /// The path as the router writes it.
    pub path: &'static str,
    /// A target with this path.
    pub target: &'static str,
    /// The body that is sent: one with which a stranger would try to cause high cost.
    pub carries: Carries,
    /// The largest body that is read, in bytes. 0: no body is read.
    pub body_bytes_max: usize,
    /// The bound on all strangers' requests to it, beside the general bounds.
    pub bound: &'static str,
}

/// The largest form, in bytes (`issuer/src/limits.rs`), then the largest registration and the largest call
/// (`gateway/src/limits.rs`).
const FORM: usize = 256 << 10;
const REGISTRATION: usize = 16 << 10;
const CALL: usize = 4 << 20;
/// The largest body of a provisioning client, in bytes (`scim/src/discovery.rs`).
const PROVISIONING: usize = 2 << 20;

const LOGIN_BOUND: &str = "few hashes at one time; failures slow down the next";
const AT_PROVIDER: &str = "so many a minute from one address; what the provider says is kept for minutes";
const ONE_LOOK: &str = "takes the sign-in; what strangers get wrong is counted";
const TAKES_LINK: &str = "takes the step of a link; what strangers get wrong is counted";
const SIGNED_IN: &str = "asks for a session before anything else";
const NO_STORE: &str = "reads no store";
const TOKEN_FIRST: &str =
    "asks for a token before the body; beyond a few, rejections are counted and not recorded one by one";

const ONE_READ: &str =
    "reads the token's row before the body; beyond a few, rejections are counted and not recorded one by one";

const fn scim(method: &'static str, path: &'static str, target: &'static str) -> Endpoint {
    let has_body = !matches!(method.as_bytes(), b"GET" | b"DELETE" | b"ANY");
    let (body, body_bytes_max) =
        if has_body { (r#"{"schemas":[],"userName":"stranger"}"#, PROVISIONING) } else { ("", 0) };
    Endpoint { method, path, target, carries: Carries::UnknownToken(body), body_bytes_max, bound: ONE_READ }
}

const fn get(path: &'static str, target: &'static str, bound: &'static str) -> Endpoint {
    Endpoint { method: "GET", path, target, carries: Carries::Nothing, body_bytes_max: 0, bound }
}

const fn post(path: &'static str, target: &'static str, carries: Carries, bound: &'static str) -> Endpoint {
    Endpoint { method: "POST", path, target, carries, body_bytes_max: FORM, bound }
}

const FORGED: Carries = Carries::Form(&[("csrf", "x"), ("decision", "allow")]);
const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Every endpoint of the routers, and the calls below `/mcp/`. `{}` in a target stands for an identifier that does not
/// exist.
pub const ENDPOINTS: &[Endpoint] = &[
    get("/healthz", "/healthz", NO_STORE),
    get("/readyz", "/readyz", "one small write of the store a second, whoever asks"),
    get("/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server", NO_STORE),
    get("/.well-known/openid-configuration", "/.well-known/openid-configuration", NO_STORE),
    get("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource", NO_STORE),
    get("/.well-known/oauth-protected-resource/mcp/{name}", "/.well-known/oauth-protected-resource/mcp/up", NO_STORE),
    get("/oauth/jwks", "/oauth/jwks", NO_STORE),
    post(
        "/oauth/token",
        "/oauth/token",
        Carries::Form(&[("grant_type", "authorization_code"), ("code", "x"), ("client_id", "nobody")]),
        "reads the client; what strangers get wrong is counted",
    ),
    post(
        "/token",
        "/token",
        Carries::Form(&[("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", "nobody")]),
        "what has not the form of a refresh token of ours is not looked up; one that has costs what it costs at `/oauth/token`",
    ),
    post(
        "/oauth/revoke",
        "/oauth/revoke",
        Carries::Form(&[("token", "x"), ("client_id", "nobody")]),
        "reads the client; what strangers get wrong is counted",
    ),
    Endpoint {
        method: "POST",
        path: "/oauth/register",
        target: "/oauth/register",
        carries: Carries::Json(
            r#"{"client_name":"stranger","redirect_uris":["http://127.0.0.1:9/callback"],"token_endpoint_auth_method":"none"}"#,
        ),
        body_bytes_max: REGISTRATION,
        bound: "so many a minute from one address, so many that nobody uses altogether",
    },
    get(
        "/oauth/authorize",
        "/oauth/authorize?response_type=code&client_id=nobody&redirect_uri=http://127.0.0.1:9/callback",
        "so many a minute from one address",
    ),
    get("/consent/{pending}", "/consent/{}", "reads the request"),
    post("/consent/{pending}", "/consent/{}", FORGED, "reads the request"),
    get("/links", "/links", SIGNED_IN),
    get("/links/client.json", "/links/client.json", NO_STORE),
    get("/links/{server}", "/links/up", SIGNED_IN),
    post("/links/{server}", "/links/up", FORGED, SIGNED_IN),
    get("/links/{server}/go", "/links/up/go", SIGNED_IN),
    get("/links/{server}/callback", "/links/up/callback?code=x&state=x", TAKES_LINK),
    get("/login", "/login", NO_STORE),
    post("/login", "/login", Carries::OwnForm, LOGIN_BOUND),
    Endpoint { carries: Carries::CookiesOf("/login"), ..get("/login/{provider}", "/login/corp", AT_PROVIDER) },
    Endpoint {
        carries: Carries::Begun,
        ..get("/login/{provider}/callback", "/login/corp/callback?code=x&state=x", ONE_LOOK)
    },
    post("/login/{provider}/backchannel", "/login/corp/backchannel", Carries::ForgedLogout, AT_PROVIDER),
    get("/login/{provider}/signed-out", "/login/corp/signed-out?state=x", NO_STORE),
    post("/logout", "/logout", FORGED, SIGNED_IN),
    get("/ways", "/ways", SIGNED_IN),
    post("/ways/add", "/ways/add", FORGED, SIGNED_IN),
    post("/ways/remove", "/ways/remove", FORGED, SIGNED_IN),
    get("/ways/{provider}/add", "/ways/corp/add", SIGNED_IN),
    get("/sessions", "/sessions", SIGNED_IN),
    post("/sessions", "/sessions", FORGED, SIGNED_IN),
    get("/password", "/password", SIGNED_IN),
    post("/password", "/password", FORGED, SIGNED_IN),
    post("/agents/end", "/agents/end", FORGED, SIGNED_IN),
    get("/setup/{token}", "/setup/{}", "reads the link"),
    post("/setup/{token}", "/setup/{}", Carries::Form(&[("password", "x"), ("csrf", "x")]), "reads the link"),
    get("/approvals/{id}", "/approvals/{}", SIGNED_IN),
    post("/approvals/{id}", "/approvals/{}", FORGED, SIGNED_IN),
    get("/access/{id}", "/access/{}", SIGNED_IN),
    post("/access/{id}", "/access/{}", FORGED, SIGNED_IN),
    get("/tasks/{id}", "/tasks/{}", SIGNED_IN),
    post("/tasks/{id}", "/tasks/{}", FORGED, SIGNED_IN),
    get("/grants/{id}", "/grants/{}", SIGNED_IN),
    post("/grants/{id}/end", "/grants/{}/end", FORGED, SIGNED_IN),
    post("/grants/{id}/release", "/grants/{}/release", FORGED, SIGNED_IN),
    post("/grants/{id}/tasks", "/grants/{}/tasks", FORGED, SIGNED_IN),
    get("/servers/{name}/tools", "/servers/up/tools", SIGNED_IN),
    post("/servers/{name}/tools", "/servers/up/tools", FORGED, SIGNED_IN),
    get("/records", "/records", SIGNED_IN),
    get("/records/{request}", "/records/{}", SIGNED_IN),
    post("/records/{request}", "/records/{}", FORGED, SIGNED_IN),
    get("/assets/{name}", "/assets/nothing.css", NO_STORE),
    get("/", "/", NO_STORE),
    get("/mcp/{name}", "/mcp/up", TOKEN_FIRST),
    Endpoint {
        method: "POST",
        path: "/mcp/{name}",
        target: "/mcp/up",
        carries: Carries::Json(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
        body_bytes_max: CALL,
        bound: TOKEN_FIRST,
    },
    Endpoint {
        method: "DELETE",
        path: "/mcp/{name}",
        target: "/mcp/up",
        carries: Carries::Nothing,
        body_bytes_max: 0,
        bound: TOKEN_FIRST,
    },
    scim("GET", "/scim/v2/ServiceProviderConfig", "/scim/v2/ServiceProviderConfig"),
    scim("GET", "/scim/v2/ResourceTypes", "/scim/v2/ResourceTypes"),
    scim("GET", "/scim/v2/ResourceTypes/{id}", "/scim/v2/ResourceTypes/User"),
    scim("GET", "/scim/v2/Schemas", "/scim/v2/Schemas"),
    scim("GET", "/scim/v2/Schemas/{id}", "/scim/v2/Schemas/x"),
    scim("GET", "/scim/v2/Users", "/scim/v2/Users?filter=userName%20pr"),
    scim("POST", "/scim/v2/Users", "/scim/v2/Users"),
    scim("POST", "/scim/v2/Users/.search", "/scim/v2/Users/.search"),
    scim("GET", "/scim/v2/Users/{id}", "/scim/v2/Users/{}"),
    scim("PUT", "/scim/v2/Users/{id}", "/scim/v2/Users/{}"),
    scim("PATCH", "/scim/v2/Users/{id}", "/scim/v2/Users/{}"),
    scim("DELETE", "/scim/v2/Users/{id}", "/scim/v2/Users/{}"),
    scim("GET", "/scim/v2/Groups", "/scim/v2/Groups?filter=displayName%20pr"),
    scim("POST", "/scim/v2/Groups", "/scim/v2/Groups"),
    scim("POST", "/scim/v2/Groups/.search", "/scim/v2/Groups/.search"),
    scim("GET", "/scim/v2/Groups/{id}", "/scim/v2/Groups/{}"),
    scim("PUT", "/scim/v2/Groups/{id}", "/scim/v2/Groups/{}"),
    scim("PATCH", "/scim/v2/Groups/{id}", "/scim/v2/Groups/{}"),
    scim("DELETE", "/scim/v2/Groups/{id}", "/scim/v2/Groups/{}"),
    scim("ANY", "/scim/v2/.search", "/scim/v2/.search"),
    scim("ANY", "/scim/v2/Bulk", "/scim/v2/Bulk"),
    scim("ANY", "/scim/v2/Me", "/scim/v2/Me"),
    scim("ANY", "/scim/v2/{*rest}", "/scim/v2/nothing"),
];

impl Endpoint {
    /// Returns the first cell of the endpoint's row in the document.
    pub fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Returns the method of a request to it.
    pub fn verb(&self) -> &'static str {
        if self.method == "ANY" { "GET" } else { self.method }
    }

    /// Returns the target, with an identifier that does not exist in place of `{}`.
    pub fn target(&self) -> String {
        self.target.replace("{}", ID)
    }
}
