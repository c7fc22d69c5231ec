//! Who is admitted: the rate of messages, the address of a client behind proxies, and proof of work for new sessions.

mod creations;
mod message_rate;
mod proof_of_work;
mod solver;
