//! A table of everything that a stranger's document or response can name, who follows it, and which rule applies.
//! docs/threats.md shows it; a test compares the two. A new kind of link is added here first: no other link can be
//! followed.

/// One kind of link.
#[derive(Debug, Clone, Copy)]
pub struct NamedRow {
    /// Its name in errors.
    pub what: &'static str,
    /// The members, parameters or headers that contain it.
    pub members: &'static [&'static str],
    /// Who names it.
    pub by: &'static str,
    /// The commands and parts of the product that follow it. Empty: none.
    pub followed_by: &'static str,
    /// The rule that it must obey.
    pub rule: &'static str,
    /// Whether it is a page that a person opens and that we do not fetch.
    pub is_page: bool,
}

/// The rule for URLs that we call.
const AS_SECURE: &str = "at least as secure as who names it, by its name and by its address";
/// The rule for URLs that nothing calls or opens.
const NOT_FOLLOWED: &str = "is asked for and opened by nobody";

macro_rules! named {
    ($($(#[$doc:meta])* $name:ident { $what:literal, [$($member:literal),*], $by:literal, $followed:literal, $rule:expr, $is_page:literal })*) => {
        /// Something that a stranger can name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Named {
            $($(#[$doc])* $name,)*
        }

        impl Named {
            /// Every kind of link.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the row of the table for this kind.
            pub fn row(self) -> NamedRow {
                match self {
                    $(Self::$name => NamedRow {
                        what: $what,
                        members: &[$($member),*],
                        by: $by,
                        followed_by: $followed,
                        rule: $rule,
                        is_page: $is_page,
                    },)*
                }
            }
        }
    };
}

named! {
    /// The page on which a person decides about a refused call.
    ApprovalPage { "a page for a decision", ["remedy.url"], "a server, in a refusal",
        "`connect` opens it", "at the very issuer where the person logged in, at least as secure as the server; once a call", true }
    /// RFC 6749 §3.1.
    AuthorizationEndpoint { "an authorization endpoint", ["authorization_endpoint"], "an authorization server",
        "`login`, `connect`, `doctor`; issuer sends the browser there, for an account", AS_SECURE, false }
    /// RFC 9728 §2.
    AuthorizationServer { "an authorization server", ["authorization_servers", "issuer"], "a server's metadata",
        "`login`, `logout`, `token`, `connect`, `doctor`; issuer, for an account", "at least as secure as who names it, by its name and by its address; its own metadata has to name it, too", false }
    /// The document whose URL is a client's identifier.
    ClientDocument { "a client metadata document", ["client_id"], "a client, in a request",
        "issuer", "https, a host that is a name, at a public address or one in `outbound.allow_private`", false }
    /// The keys of a client with such a document.
    ClientKeys { "the keys of a client", ["jwks_uri"], "a client's metadata document",
        "issuer", "like the document itself, and at least as secure as it", false }
    /// Pages and pictures with which a client wants to be shown.
    ClientPages { "a page or picture of a client", ["client_uri", "logo_uri", "policy_uri", "tos_uri"], "a client, where it registers",
        "", NOT_FOLLOWED, true }
    /// OpenID Connect RP-Initiated Logout 1.0 §2.1.
    EndSessionEndpoint { "a page to sign out", ["end_session_endpoint"], "an OpenID provider",
        "issuer sends the browser there", AS_SECURE, false }
    /// A page that a server asks a person to open.
    ElicitationPage { "a page of an elicitation", ["params.url", "data.elicitations.url", "inputRequests.params.url"], "a server, in a message",
        "`connect` hands it to the client", "at least as secure as the server; the message is stopped otherwise", true }
    /// RFC 6749 §5.2, RFC 7591 §2 and other pages that are not read.
    ErrorPage { "a page about an error", ["error_uri", "resource_documentation", "service_documentation"], "a server or an authorization server",
        "", "is not read", true }
    /// Pictures of servers and tools, and links among contents.
    Icons { "a picture or a link in a message", ["icons.src", "websiteUrl", "uri"], "a server, in a message",
        "", "goes to the client as it came; pages load nothing from elsewhere", true }
    /// RFC 7662 §2.
    IntrospectionEndpoint { "an introspection endpoint", ["introspection_endpoint"], "an authorization server that the configuration names",
        "gateway", AS_SECURE, false }
    /// RFC 8414 §2.
    IssuerKeys { "the keys of an authorization server", ["jwks_uri"], "an authorization server",
        "", "is asked for by nobody; one that is less secure spoils the whole document", false }
    /// The transport of 2024-11-05.
    MessageEndpoint { "an endpoint for messages", ["event: endpoint"], "a server, at the beginning of a stream",
        "`connect`", "at the server's own origin", false }
    /// OpenID Connect Discovery 1.0 §3.
    ProviderKeys { "the keys of a provider", ["jwks_uri"], "an OpenID provider or an authorization server that the configuration names",
        "issuer, gateway", AS_SECURE, false }
    /// Any response with `Location`.
    Redirect { "a redirect", ["Location"], "whoever is asked",
        "", "is read and told, and asked for by nobody", false }
    /// RFC 7592.
    RegistrationClient { "a place to manage a registration", ["registration_client_uri"], "an authorization server, where a client registers",
        "`doctor --register`, with the token that came along", AS_SECURE, false }
    /// RFC 7591.
    RegistrationEndpoint { "a registration endpoint", ["registration_endpoint"], "an authorization server",
        "`login`, `connect`, `doctor --register`; issuer, for an account", AS_SECURE, false }
    /// RFC 9728 §5.1.
    ResourceMetadata { "resource metadata", ["resource_metadata"], "a server, in `WWW-Authenticate`",
        "`login`, `token`, `connect`, `doctor`; issuer, for an account", AS_SECURE, false }
    /// RFC 9728 §3.3.
    ResourceIdentifier { "a resource identifier", ["resource"], "a server's metadata",
        "", "is compared with the URL that was called; tokens are asked for in its name", false }
    /// RFC 7009.
    RevocationEndpoint { "a revocation endpoint", ["revocation_endpoint"], "an authorization server",
        "`logout`, `doctor --login`; issuer, for an account", AS_SECURE, false }
    /// JSON Schema.
    SchemaReference { "a reference in a schema", ["$ref"], "a server, in its tools",
        "", "is resolved inside of the schema or not at all", false }
    /// A document that an agent wants to have read.
    Specification { "a document to read", ["url"], "an agent, in a call of the built-in server",
        "built-in server", "https, at a public address or one in `outbound.allow_private`", false }
    /// RFC 6749 §3.2.
    TokenEndpoint { "a token endpoint", ["token_endpoint"], "an authorization server or an identity provider",
        "`login`, `token`, `connect`, `doctor --login`; issuer and gateway, for an account", AS_SECURE, false }
    /// OpenID Connect Core 1.0 §5.3.
    UserInfoEndpoint { "a UserInfo endpoint", ["userinfo_endpoint"], "an OpenID provider",
        "issuer", AS_SECURE, false }
    /// RFC 8615.
    WellKnown { "a well-known place", ["/.well-known/"], "the URL of a server or of an issuer, by its origin",
        "`login`, `logout`, `token`, `connect`, `doctor`; issuer, for an account", AS_SECURE, false }
}

#[cfg(test)]
mod tests;
