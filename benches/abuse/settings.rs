//! Which attacks run and for how long, from the environment.

use std::env;

use crate::attack::Attack;
use crate::attacks::ATTACKS;
use crate::support::outcome::Outcome;

pub(crate) struct Settings {
    pub(crate) attacks: Vec<&'static Attack>,
    /// Seconds of every attack; `None` for the attack's own.
    pub(crate) seconds: Option<u64>,
    /// Whether the table goes into the documentation.
    pub(crate) writes_document: bool,
}

impl Settings {
    /// Reads the variables that `main.rs` lists.
    pub(crate) fn from_environment() -> Outcome<Settings> {
        let quick = env::var_os("QUICK").is_some_and(|value| value == "1");
        let chosen = env::var("ABUSE").ok();
        let attacks = match &chosen {
            None => ATTACKS.iter().collect(),
            Some(names) => names.split(',').map(find).collect::<Outcome<_>>()?,
        };
        Ok(Settings { attacks, seconds: quick.then_some(8), writes_document: !quick && chosen.is_none() })
    }
}

fn find(name: &str) -> Outcome<&'static Attack> {
    let known: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
    let attack = ATTACKS.iter().find(|attack| attack.name == name.trim());
    attack.ok_or_else(|| format!("ABUSE: no attack is named {name}; there are {}", known.join(", ")).into())
}
