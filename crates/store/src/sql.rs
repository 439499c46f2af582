//! The common layer over the two databases: values in, rows out, one SQL text for both.

use std::str::FromStr;

use sekisho_protocol::caller::Subject;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{
    AccessRequestId, ApprovalId, ClientId, GrantId, KeyId, LoanId, NodeId, PendingId, RequestId, ScimGroupId,
    ServerName, TaskId, UserId,
};
use sekisho_protocol::scope::ScopeSet;
use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::sqlite::SqliteRow;
use sqlx::{Database, Decode, Encode, Postgres, Row as _, Sqlite, Type};

use crate::error::StoreError;

/// One parameter of a statement. All columns are of these three kinds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Blob(Option<Vec<u8>>),
    Int(Option<i64>),
    Text(Option<String>),
}

/// The parameters of a statement, in the order of `$1`, `$2`, …
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::sql::Value::from($value)),*] };
}
pub(crate) use values;

/// The condition that a row of `grants` is alive at the time in the given parameter.
macro_rules! grant_alive {
    ($now:literal) => {
        concat!("grants.revoked_at IS NULL AND (grants.expires_at IS NULL OR grants.expires_at > ", $now, ")")
    };
}
pub(crate) use grant_alive;

/// The condition that a row of `tasks` is not over at the time in the given parameter.
macro_rules! task_running {
    ($now:literal) => {
        concat!("tasks.ended_at IS NULL AND (tasks.ends_at IS NULL OR tasks.ends_at > ", $now, ")")
    };
}
pub(crate) use task_running;

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.as_millisecond()))
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_millisecond))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(Some(value))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Blob(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

/// Implements the conversion for types that are stored in their text form.
macro_rules! text_values {
    ($($name:ty),* $(,)?) => { $(
        impl From<&$name> for Value {
            fn from(value: &$name) -> Self {
                Self::Text(Some(value.to_string()))
            }
        }

        impl From<$name> for Value {
            fn from(value: $name) -> Self {
                Self::Text(Some(value.to_string()))
            }
        }

        impl From<Option<&$name>> for Value {
            fn from(value: Option<&$name>) -> Self {
                Self::Text(value.map(ToString::to_string))
            }
        }
    )* };
}
text_values!(
    AccessRequestId,
    ApprovalId,
    ClientId,
    Digest,
    GrantId,
    KeyId,
    LoanId,
    NodeId,
    PendingId,
    RequestId,
    ScimGroupId,
    ScopeSet,
    ServerName,
    Subject,
    TaskId,
    UserId,
);

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

/// A statement of either database with its parameters.
pub(crate) fn statement<DB>(sql: &'static str, values: Vec<Value>) -> Query<'static, DB, DB::Arguments>
where
    DB: Database,
    Option<i64>: Encode<'static, DB> + Type<DB>,
    Option<String>: Encode<'static, DB> + Type<DB>,
    Option<Vec<u8>>: Encode<'static, DB> + Type<DB>,
{
    values.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Blob(bytes) => query.bind(bytes),
        Value::Int(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
    })
}

/// One row of a result of either database.
pub(crate) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self::Postgres(row)
    }
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self::Sqlite(row)
    }
}

impl Row {
    fn column<'r, T>(&'r self, name: &str) -> Result<T, StoreError>
    where
        T: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite>,
    {
        match self {
            Self::Postgres(row) => row.try_get(name),
            Self::Sqlite(row) => row.try_get(name),
        }
        .map_err(StoreError::from)
    }

    pub(crate) fn int(&self, name: &str) -> Result<i64, StoreError> {
        self.column(name)
    }

    pub(crate) fn int_opt(&self, name: &str) -> Result<Option<i64>, StoreError> {
        self.column(name)
    }

    /// Returns a count, which is never negative.
    pub(crate) fn count(&self, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.int(name)?).map_err(|_| corrupt(name))
    }

    /// Returns a column of 0 or 1 as a boolean.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.int(name)? != 0)
    }

    pub(crate) fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        Timestamp::from_millisecond(self.int(name)?).map_err(|_| corrupt(name))
    }

    pub(crate) fn time_opt(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        self.int_opt(name)?.map(|millis| Timestamp::from_millisecond(millis).map_err(|_| corrupt(name))).transpose()
    }

    pub(crate) fn text(&self, name: &str) -> Result<String, StoreError> {
        self.column(name)
    }

    pub(crate) fn text_opt(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.column(name)
    }

    pub(crate) fn blob(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.column(name)
    }

    pub(crate) fn blob_opt(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.column(name)
    }

    /// Parses a text column into its type.
    pub(crate) fn parse<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.text(name)?.parse().map_err(|_| corrupt(name))
    }

    /// The same for a column that may be empty.
    pub(crate) fn parse_opt<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.text_opt(name)?.map(|text| text.parse().map_err(|_| corrupt(name))).transpose()
    }

    /// Parses a JSON column.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(name)?).map_err(|_| corrupt(name))
    }

    /// The same for a column that may be empty.
    pub(crate) fn json_opt<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.text_opt(name)?.map(|text| serde_json::from_str(&text).map_err(|_| corrupt(name))).transpose()
    }
}

/// Returns the JSON for a JSON column.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt { what: error.to_string() })
}

/// The same for a column that may be empty.
pub(crate) fn json_opt<T: serde::Serialize>(value: Option<&T>) -> Result<Option<String>, StoreError> {
    value.map(json).transpose()
}

/// Returns the error for a violated rule or a row that does not exist any more.
pub(crate) fn conflict(what: &str) -> StoreError {
    StoreError::Conflict { what: what.to_owned() }
}

pub(crate) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt { what: what.to_owned() }
}
