//! The result of a bench: whether it met its goals, or an error that ended it.

use std::error::Error;
use std::process::ExitCode;

/// A value, or an error that ends the bench with its text.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// The exit code of a bench: 0 if it met its goals. Prints the error that ended it.
pub(crate) fn exit_code(meets_goals: Outcome<bool>) -> ExitCode {
    match meets_goals {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("The bench cannot run: {error}");
            ExitCode::FAILURE
        }
    }
}
