//! One batch: the items that share a statement, its execution, and the delivery of its results.

use std::slice;
use std::time::{Duration, Instant};

use super::callback::Callback;
use super::error::Error;

/// Executes one SQL statement for all items, atomically, and returns one answer for each item in the order of the items.
pub(super) type Statement<Connection, Item, Answer> = fn(&mut Connection, &[Item]) -> Result<Vec<Answer>, Error>;

/// How long the items of a refused batch are retried one by one. Those left after that get [`Error::Unavailable`].
const MAX_RETRY_TIME: Duration = Duration::from_secs(5);

/// Items that wait for the same statement, and the callback of each.
pub(super) struct Batch<Item, Answer> {
    items: Vec<Item>,
    callbacks: Vec<Callback<Answer>>,
}

impl<Item, Answer> Batch<Item, Answer> {
    pub(super) fn new(item: Item, callback: Callback<Answer>) -> Batch<Item, Answer> {
        Batch { items: vec![item], callbacks: vec![callback] }
    }

    pub(super) fn push(&mut self, item: Item, callback: Callback<Answer>) {
        self.items.push(item);
        self.callbacks.push(callback);
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Executes the statement and returns one result for each item.
    ///
    /// One item may be the reason why PostgreSQL rolled the batch back. With `retry_individually` each item is then
    /// executed alone.
    pub(super) fn execute<Connection>(
        &self,
        statement: Statement<Connection, Item, Answer>,
        connection: &mut Connection,
        retry_individually: bool,
    ) -> Vec<Result<Answer, Error>> {
        match statement(connection, &self.items) {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if error.was_rolled_back() && retry_individually && self.items.len() > 1 => {
                self.execute_individually(statement, connection)
            }
            Err(error) => self.items.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn execute_individually<Connection>(
        &self,
        statement: Statement<Connection, Item, Answer>,
        connection: &mut Connection,
    ) -> Vec<Result<Answer, Error>> {
        let deadline = Instant::now() + MAX_RETRY_TIME;
        let mut abort = None;
        let execute_one = |item| {
            if let Some(error) = &abort {
                return Err(Error::clone(error));
            }
            let result = statement(connection, slice::from_ref(item));
            match &result {
                // The remaining items would meet the same error.
                Err(error @ (Error::Unavailable | Error::Timeout)) => abort = Some(error.clone()),
                _ if Instant::now() > deadline => abort = Some(Error::Unavailable),
                _ => {}
            }
            result?.pop().ok_or_else(|| Error::Refused("a statement without an answer".to_owned()))
        };
        self.items.iter().map(execute_one).collect()
    }

    /// Calls each item's callback with its result.
    pub(super) fn complete(self, results: Vec<Result<Answer, Error>>) {
        for (callback, result) in self.callbacks.into_iter().zip(results) {
            callback(result);
        }
    }

    /// Calls every callback with the same error.
    pub(super) fn fail(self, error: &Error) {
        for callback in self.callbacks {
            callback(Err(error.clone()));
        }
    }
}
