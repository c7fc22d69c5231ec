//! The ends of sessions: what a client sees of them, and the sweeper.

mod ends;
mod sweeper;
