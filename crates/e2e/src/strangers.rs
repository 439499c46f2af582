//! The table of what a stranger can ask: every endpoint that answers without a token or a session, a request to it, and
//! what bounds all such requests together. `scripts/strangers` measures each; a test sees that none is missing.

/// What a request of a stranger carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Nothing.
    Nothing,
    /// A form of these pairs.
    Form(&'static [(&'static str, &'static str)]),
    /// A JSON document.
    Json(&'static str),
    /// The form of the page at the same target, filled in with another name each time and a wrong password.
    OwnForm,
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// `GET` or `POST`, …
    pub method: &'static str,
    /// As the router writes it.
    pub path: &'static str,
    /// A target that reaches it.
    pub target: &'static str,
    /// What is sent there: what a stranger would send who wants it to cost much.
    pub carries: Carries,
    /// The most bytes that its body may have; 0: none is read.
    pub body_bytes_max: usize,
    /// What bounds the requests of all strangers to it, beside what bounds them everywhere.
    pub bound: &'static str,
}

/// The most bytes of a form (`issuer/src/limits.rs`), a registration, a call (`gateway/src/limits.rs`).
const FORM: usize = 256 << 10;
const REGISTRATION: usize = 16 << 10;
const CALL: usize = 4 << 20;

const LOGIN_BOUND: &str = "few hashes at one time; failures slow down the next";
const AT_PROVIDER: &str = "so many a minute from one address; what the provider says is kept for minutes";
const ONE_LOOK: &str = "takes the sign-in; what strangers get wrong is counted";
const SIGNED_IN: &str = "asks for a session before anything else";
const NO_STORE: &str = "reads no store";
const TOKEN_FIRST: &str =
    "asks for a token before the body; beyond a few, rejections are counted and not recorded one by one";

const fn get(path: &'static str, target: &'static str, bound: &'static str) -> Endpoint {
    Endpoint { method: "GET", path, target, carries: Carries::Nothing, body_bytes_max: 0, bound }
}

const fn post(path: &'static str, target: &'static str, carries: Carries, bound: &'static str) -> Endpoint {
    Endpoint { method: "POST", path, target, carries, body_bytes_max: FORM, bound }
}

const FORGED: Carries = Carries::Form(&[("csrf", "x"), ("decision", "allow")]);
const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Every endpoint, as the routers have them, and the calls below `/mcp/`. `{}` in a target is an identifier of nothing.
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
    get("/login", "/login", NO_STORE),
    post("/login", "/login", Carries::OwnForm, LOGIN_BOUND),
    get("/login/{provider}", "/login/corp", AT_PROVIDER),
    get("/login/{provider}/callback", "/login/corp/callback?code=x&state=x", ONE_LOOK),
    post(
        "/login/{provider}/backchannel",
        "/login/corp/backchannel",
        Carries::Form(&[("logout_token", "x")]),
        AT_PROVIDER,
    ),
    post("/logout", "/logout", FORGED, SIGNED_IN),
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
];

impl Endpoint {
    /// As the first cell of its row says it.
    pub fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The target, with an identifier of nothing where one is wanted.
    pub fn target(&self) -> String {
        self.target.replace("{}", ID)
    }
}
