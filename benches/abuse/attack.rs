//! What an attack is: its attackers, its victims, and what has to hold for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;

use crate::database::Database;
use crate::support::outcome::Outcome;
use crate::victims::Victims;

/// The address of all attackers. Victims have addresses of other networks.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// An attack, and the victims beside it.
pub(crate) struct Attack {
    /// Its name in `ABUSE`.
    pub(crate) name: &'static str,
    /// What the attackers do.
    pub(crate) what: &'static str,
    /// The configurations in which it runs.
    pub(crate) limits: &'static [Limits],
    pub(crate) victims: &'static [Victims],
    pub(crate) seconds: u64,
    /// Stores what the attackers need, and returns them; each gets a thread.
    pub(crate) prepare: fn(&mut Database) -> Outcome<Vec<Attacker>>,
    /// Whether the share of answered messages is a goal only where addresses tell clients apart. The attackers of the others
    /// have more sessions than the companion has room for, and each counts as a client.
    pub(crate) answers_by_address: bool,
    /// Bound on the victims' p99 of `DELETE`, in milliseconds.
    pub(crate) max_delete_ms: Option<f64>,
    /// Bound on the growth of the database with limits, in MiB per second.
    pub(crate) max_stored: Option<f64>,
}

/// Attacks the service at the address until the flag is set.
pub(crate) type Attacker = Box<dyn FnOnce(SocketAddr, &AtomicBool) -> Tally + Send>;

/// Limits on rates and addresses in the service's configuration.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Limits {
    /// The defaults. Loopback addresses are not told apart, as behind a Tor service.
    Default,
    /// None.
    Off,
    /// The defaults, and loopback addresses are told apart, as addresses from the Internet are.
    ByAddress,
}

impl Limits {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Limits::Default => "default",
            Limits::Off => "off",
            Limits::ByAddress => "by address",
        }
    }

    /// Variables of the service.
    pub(crate) fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Limits::Default => &[],
            Limits::Off => &[("RATE_LIMIT", "off")],
            Limits::ByAddress => &[("RATE_LIMIT_BY_ADDRESS", "on")],
        }
    }
}

/// What attackers did.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    /// Those whose response began with a status of 2xx.
    pub(crate) accepted: u64,
}

impl Tally {
    pub(crate) fn add(self, other: Tally) -> Tally {
        Tally { requests: self.requests + other.requests, accepted: self.accepted + other.accepted }
    }

    /// Counts the status of a response, and returns whether it is 2xx.
    pub(crate) fn count(&mut self, status: u16) -> bool {
        let is_accepted = (200..300).contains(&status);
        self.accepted += u64::from(is_accepted);
        is_accepted
    }
}
