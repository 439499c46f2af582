//! `sekisho demo` and `sekisho bundled`, in builds that have the demo.

#[cfg(feature = "demo")]
mod stage;

#[cfg(feature = "demo")]
pub(crate) use stage::{bundled, play};

#[cfg(not(feature = "demo"))]
pub(crate) use absent::{bundled, play};

/// Stands in for the demo in production builds, which leave it out because it contains a vulnerable proxy.
#[cfg(not(feature = "demo"))]
mod absent {
    use crate::cli::{Common, DemoArguments};
    use crate::error::CommandError;

    pub(crate) async fn play(_: &Common, _: &DemoArguments) -> Result<(), CommandError> {
        Err(missing())
    }

    pub(crate) async fn bundled(_: &str) -> Result<(), CommandError> {
        Err(missing())
    }

    fn missing() -> CommandError {
        CommandError::environment(
            "this build is for production and has no demo; a build from the sources has it",
            "in the sources: cargo run --profile quick -- demo",
        )
    }
}
