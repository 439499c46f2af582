//! The pages of the issuer: what each shows.

use askama::Template;
use sekisho_web::choice::{End, ScopeLine, ToolLine};
use sekisho_web::frame::Chrome;
use sekisho_web::sentence::Sentence;

use crate::consent::Stay;

/// The request, as both pages show it.
pub(crate) struct Ask {
    pub(crate) pending: String,
    pub(crate) client_name: String,
    pub(crate) initial: String,
    pub(crate) client_id: String,
    pub(crate) unverified: bool,
    pub(crate) origin_words: (&'static str, &'static str),
    pub(crate) origin_host: String,
    pub(crate) document_host: Option<String>,
    pub(crate) redirect_host: String,
    pub(crate) redirect_uri: String,
    pub(crate) warning: Option<Sentence>,
    pub(crate) server_title: String,
    pub(crate) server_initial: String,
    pub(crate) server_url: String,
    pub(crate) scopes: Vec<ScopeLine>,
}

/// The page before the login: which client asks for what.
#[derive(Template)]
#[template(path = "client.html")]
pub(crate) struct ClientPage {
    pub(crate) chrome: Chrome,
    pub(crate) ask: Ask,
    pub(crate) csrf: String,
}

/// The only page that makes a grant.
#[derive(Template)]
#[template(path = "grant.html")]
pub(crate) struct GrantPage {
    pub(crate) chrome: Chrome,
    pub(crate) ask: Ask,
    pub(crate) csrf: String,
    pub(crate) withheld: bool,
    /// Whether the access may outlast the browser session.
    pub(crate) stay: Stay,
    /// How long a browser session lasts at most.
    pub(crate) session_hours: u32,
    pub(crate) tools: Vec<ToolLine>,
    /// Why no tool can be chosen one by one, where that is so.
    pub(crate) tools_note: Option<String>,
    /// The tools that the scopes on the page do not cover, because they have no class.
    pub(crate) unclassified: Option<Unclassified>,
    /// Single tools, to narrow what is granted.
    pub(crate) narrow: Vec<ToolChoice>,
    /// The task that the client declares.
    pub(crate) task: Option<TaskFacts>,
    /// Tasks of the owner's to choose from, where the client declares none.
    pub(crate) templates: Vec<TemplateChoice>,
    pub(crate) ends: [End; 5],
    /// The end that is chosen at first.
    pub(crate) chosen_end: End,
    /// The three sets, drawn; made by us, so it is not escaped.
    pub(crate) figure: Option<String>,
}

/// Tools without a class.
pub(crate) struct Unclassified {
    pub(crate) count: usize,
    /// The path of the page on which the person can give them one, if they may.
    pub(crate) page: Option<String>,
}

/// One tool that can be left out of a grant.
pub(crate) struct ToolChoice {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) class: Option<Sentence>,
    pub(crate) ticked: bool,
    /// The bounds that a task has for its arguments, as JSON Schema.
    pub(crate) bounds: String,
}

/// A task that can be chosen.
pub(crate) struct TemplateChoice {
    pub(crate) name: String,
    pub(crate) facts: TaskFacts,
    pub(crate) tools: Vec<String>,
}

/// A task on the page that grants it.
pub(crate) struct TaskFacts {
    pub(crate) purpose: String,
    /// Resources and prompts.
    pub(crate) others: Vec<String>,
    pub(crate) calls: Option<u32>,
    pub(crate) minutes: Option<u32>,
}

/// The ways in: identity providers, and a user name with a password.
#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage {
    pub(crate) chrome: Chrome,
    pub(crate) csrf: String,
    pub(crate) request: Option<String>,
    /// Whether the person comes back to a page of their own.
    pub(crate) returns: bool,
    pub(crate) client_name: Option<String>,
    pub(crate) username: String,
    /// Whether there are passwords here.
    pub(crate) passwords: bool,
    pub(crate) providers: Vec<ProviderButton>,
    pub(crate) problem: Option<Sentence>,
}

/// The way to one identity provider.
pub(crate) struct ProviderButton {
    pub(crate) path: String,
    pub(crate) label: String,
}

/// Another password, for the person who is signed in.
#[derive(Template)]
#[template(path = "password.html")]
pub(crate) struct PasswordPage {
    pub(crate) chrome: Chrome,
    pub(crate) csrf: String,
    pub(crate) username: String,
    pub(crate) problem: Option<Sentence>,
}

/// A first password.
#[derive(Template)]
#[template(path = "setup.html")]
pub(crate) struct SetupPage {
    pub(crate) chrome: Chrome,
    pub(crate) csrf: String,
    pub(crate) action: String,
    pub(crate) username: String,
    /// There is a password already, and what was done with it ends.
    pub(crate) is_reset: bool,
    pub(crate) problem: Option<Sentence>,
}

/// A link to the application, where a redirect must not or cannot be automatic.
#[derive(Template)]
#[template(path = "return.html")]
pub(crate) struct ReturnPage {
    pub(crate) chrome: Chrome,
    pub(crate) title: Sentence,
    pub(crate) what: Sentence,
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) target: String,
    pub(crate) host: String,
}

/// A browser that is signed out here, and what is left to do at a provider.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOutPage {
    pub(crate) chrome: Chrome,
    pub(crate) title: Sentence,
    pub(crate) what: Sentence,
    /// The provider.
    pub(crate) label: String,
    /// Whether the browser goes there by itself.
    pub(crate) is_sent: bool,
    /// Where it signs out there.
    pub(crate) url: Option<String>,
    /// Where the person goes on here.
    pub(crate) on: String,
}

/// By which ways a person signs in.
#[derive(Template)]
#[template(path = "ways.html")]
pub(crate) struct WaysPage {
    pub(crate) chrome: Chrome,
    /// Something to say, and the name in it.
    pub(crate) notice: Option<(Sentence, String)>,
    pub(crate) confirm: Option<ConfirmBox>,
    /// What is to say of a password.
    pub(crate) password: Sentence,
    /// Whether it can be changed.
    pub(crate) passwords: bool,
    pub(crate) ways: Vec<WayLine>,
    pub(crate) offers: Vec<ProviderButton>,
    /// Whether the person signed in so short a time ago that an account can be added.
    pub(crate) is_fresh: bool,
}

/// An account at a provider with which a person signs in.
pub(crate) struct WayLine {
    pub(crate) label: String,
    /// Whether its provider is one of the configuration.
    pub(crate) is_known: bool,
    pub(crate) subject: String,
    pub(crate) since: String,
    pub(crate) last: Option<String>,
    /// The user was made for it, so it stays.
    pub(crate) made_user: bool,
    /// Whether there is another way in.
    pub(crate) remains: bool,
    pub(crate) csrf: String,
    pub(crate) handle: String,
}

/// An account that waits for a yes.
pub(crate) struct ConfirmBox {
    pub(crate) csrf: String,
    pub(crate) token: String,
    pub(crate) provider: String,
    pub(crate) label: String,
    pub(crate) shown_name: Option<String>,
    pub(crate) subject: String,
    pub(crate) user: String,
}
