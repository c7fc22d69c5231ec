//! The service: its settings, its own address, and the proxy in front of it.
//!
//! - `settings`, `model`: what the configuration and its files say.
//! - `own`, `proxy`: what answers at the service's own address, and at the public one; `http` asks, `public_url` names it.
//! - `probe`, `log_search`: whether logs of this machine have what was asked.

mod checks;
mod http;
mod log_search;
mod model;
mod own;
mod probe;
mod proxy;
mod public_url;
mod settings;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::finding::Report;
use crate::companion;
use crate::config::{Address, Authorities};
pub(super) use checks::ALL;
use http::Asker;
use probe::Probe;
pub use public_url::{PublicUrl, PublicUrlError};
pub(super) use settings::judge as judge_settings;

/// Until a proxy has written its line of a request.
const LOG_DELAY: Duration = Duration::from_secs(1);

/// Where the service is asked.
pub(super) struct Addresses {
    pub(super) own: Address,
    pub(super) public: Option<PublicUrl>,
    /// Whether `TRUSTED_PROXIES` names any.
    pub(super) trusts_proxies: bool,
}

/// Asks the service at its addresses, then searches the logs below `root`, and `logs`.
pub(super) fn examine(root: &Path, addresses: &Addresses, logs: &[PathBuf]) -> Report {
    let mut report = Report::default();
    let mut probes = Vec::new();
    match own::base_url(&addresses.own) {
        Some(base) => {
            let asker = Asker::new(None);
            let probe = Probe::new(&base);
            if own::examine(&asker, &base, &mut report) && probe.send(&asker).is_ok() {
                probes.push(probe);
            }
        }
        None => report.skip(
            "the running service",
            "APP_PORT is 0, so its port is not known",
            "run the doctor with APP_PORT set to the port that the service printed at its start",
        ),
    }
    match &addresses.public {
        Some(url) => {
            let asker = Asker::new(companion::tls_config(&Authorities::System));
            let probe = Probe::new(&url.to_string());
            if proxy::examine(&asker, url, &probe, addresses.trusts_proxies, &mut report) {
                probes.push(probe);
            }
        }
        None => report.skip("the proxy in front", "no --public-url was given", "give the address that people use"),
    }
    if !probes.is_empty() {
        thread::sleep(LOG_DELAY);
        probe::search_logs(&probes, root, logs, &mut report);
    }
    report
}
