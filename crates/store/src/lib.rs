//! Everything Sekisho remembers: users, clients, grants, codes, tokens, keys, records. The only crate that knows SQL.
//!
//! It decides nothing about OAuth or MCP and tells no time: whoever calls passes `now`. Start from [`Store`]; a
//! request takes one transaction, works through its nouns and commits:
//!
//! ```no_run
//! # async fn example(store: sekisho_store::Store, code: &sekisho_protocol::digest::Digest,
//! #     grant: sekisho_protocol::ids::GrantId, now: sekisho_protocol::env::Timestamp,
//! # ) -> Result<bool, sekisho_store::StoreError> {
//! let mut tx = store.begin().await?;
//! let first = tx.codes().consume(code, grant, now).await?;
//! tx.commit().await?;
//! # Ok(first)
//! # }
//! ```
//!
//! One SQL text serves SQLite and PostgreSQL; what truly differs is in `sqlite.rs` and `postgres.rs`. Whatever works
//! once is spent by one conditional statement, never read and then written. What a cache may hold is announced
//! through [`Store::changes`].
//!
//! To add a noun: a table in a new `migrations/NNNN_what.sql` (listed in `migrations.rs`), a file here with its row
//! type and a struct that borrows [`Tx`], one line in `tx.rs`, and its test in `tests/it`, where every statement
//! runs on both databases.

mod error;
mod store;
mod tx;

mod access_requests;
mod approvals;
mod assertions;
mod audit;
mod browser_sessions;
mod catalogue;
mod changes;
mod clients;
mod clock;
mod codes;
mod credentials;
mod database_error;
mod external_grants;
mod grants;
mod heads;
mod identities;
mod keys;
mod link_flows;
mod linked_accounts;
mod loans;
mod pendings;
mod refresh_tokens;
mod refusals;
mod rounds;
mod scim_resources;
mod scim_tokens;
mod seal;
mod servers;
mod settings;
mod setup_links;
mod sign_ins;
mod step_ups;
mod tasks;
mod throttle;
mod user_groups;
mod users;
mod wait;

mod migrations;
mod postgres;
mod reserve;
mod session;
mod sql;
mod sqlite;

pub use access_requests::{
    ACCESS_REASON_CHARS_MAX, ACCESS_REQUESTS_OPEN_PER_SUBJECT_MAX, AccessRequest, AccessRequests, NewAccessRequest,
};
pub use approvals::{APPROVAL_TEXT_BYTES_MAX, APPROVALS_OPEN_PER_GRANT_MAX, Approval, Approvals, NewApproval};
pub use assertions::Assertions;
pub use audit::{
    AUDIT_PAGE_MAX, Audit, AuditFilter, AuditHead, AuditOrder, ChainCheck, StoredRecord, UnendedCall, UnendedCursor,
};
pub use browser_sessions::{BrowserSession, BrowserSessions, SignInMethod, SignedInUser};
pub use catalogue::{ANNOUNCED_EVERY_MILLIS, ANNOUNCED_MAX, Catalogue, SeenLater, TOOLS_OF_CALLERS_MAX};
pub use changes::{CHANGES_KEPT, Change, ChangeFeed, ChangeKind, FeedEvent};
pub use clients::{Clients, NewClient, StoredClient};
pub use clock::ClockStep;
pub use codes::{CODE_FAILURES_MAX, Code, Codes, Conditions, GrantTask};
pub use credentials::Credentials;
pub use error::StoreError;
pub use external_grants::GrantIssuer;
pub use grants::{Consent, Grant, GrantFilter, GrantState, Grants, NewGrant};
pub use heads::SignedHead;
pub use identities::{Identities, LinkedIdentity};
pub use keys::{Keys, SigningKeyRow};
pub use link_flows::{LinkFlow, LinkFlows, LinkStep, LinkTaker};
pub use linked_accounts::{AccountKey, LinkedAccount, LinkedAccounts, NewLinkedAccount, Renewed};
pub use loans::{LOAN_SECONDS_MAX, Loan, Loans, NewLoan};
pub use pendings::{Pending, Pendings};
pub use refresh_tokens::{RefreshRow, RefreshTokens};
pub use refusals::{REFUSALS_WRITTEN_EVERY, Refusals};
pub use rounds::{ROUNDS_PER_GRANT_MAX, Rounds};
pub use scim_resources::{ScimGroupRow, ScimGroups, ScimUserRow, ScimUsers};
pub use scim_tokens::{ScimTokenRow, ScimTokens};
pub use seal::{SealError, SealKey, SecretBytes, SecretKey};
pub use servers::{ServerRow, Servers};
pub use settings::Settings;
pub use setup_links::{SetupLink, SetupLinks};
pub use sign_ins::{ID_TOKEN_BYTES_MAX, LoggedOut, PendingSignIn, ProviderSession, ProviderSessions, SignIns};
pub use step_ups::STEP_UP_SECONDS;
pub use store::{SWEEP_ROWS, Store, StoreSettings, StoreUrl};
pub use tasks::{NewTask, TASKS_BY_CLIENT_MAX, TASKS_BY_PERSON_MAX, Taken, TaskFilter, TaskPlace, Tasks};
pub use throttle::{FORGET_SECONDS, Lane, Throttle};
pub use tx::Tx;
pub use user_groups::{GroupSource, Membership, UserGroups};
pub use users::{User, Users};
