//! Maps errors of either database to [`StoreError`].

use sqlx::error::ErrorKind;

use crate::error::{Code, StoreError};

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(ref database) => match classify(database.as_ref()) {
                Fault::Conflict => {
                    Self::Conflict { what: database.constraint().map_or_else(|| database.to_string(), str::to_owned) }
                }
                Fault::Corrupt => Self::Corrupt { what: database.to_string() },
                Fault::Ours => Self::Statement(Box::new(error)),
                Fault::Unavailable => Self::Unavailable { what: database.to_string() },
            },
            sqlx::Error::Configuration(why) => Self::Settings { what: why.to_string() },
            sqlx::Error::ColumnDecode { index, .. } => Self::Corrupt { what: index },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable { what: error.to_string() },
            other => Self::Statement(Box::new(other)),
        }
    }
}

/// The meaning of an error of the database.
enum Fault {
    Conflict,
    Corrupt,
    Ours,
    Unavailable,
}

fn classify(error: &dyn sqlx::error::DatabaseError) -> Fault {
    match error.kind() {
        ErrorKind::UniqueViolation | ErrorKind::ForeignKeyViolation => return Fault::Conflict,
        ErrorKind::NotNullViolation | ErrorKind::CheckViolation | ErrorKind::ExclusionViolation => return Fault::Ours,
        _ => {}
    }
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        crate::postgres::classify(&code)
    } else {
        crate::sqlite::classify(&code)
    }
    .into()
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        match code {
            Code::Corrupt => Self::Corrupt,
            Code::Ours => Self::Ours,
            Code::Unavailable => Self::Unavailable,
        }
    }
}
