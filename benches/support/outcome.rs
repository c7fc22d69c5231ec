//! The result type of the bench.

use std::error::Error;

/// A value, or an error that ends the bench with its text.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;
