//! The service as the binary starts it, in this process, in a schema of its own.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use safespace::app::App;
use safespace::config::Config;

use super::cluster::{Schema, distribution};
use super::http::Client;

/// A running service.
pub(crate) struct TestApp {
    app: Option<App>,
    pub(crate) client: Client,
    // Declared after the service, so that it is dropped later.
    schema: Option<Schema>,
}

impl TestApp {
    /// Starts a service with the defaults of the tests in a schema of its own in the shared database.
    pub(crate) fn start() -> TestApp {
        TestApp::with(&[])
    }

    /// Starts a service with further variables in a schema of its own.
    pub(crate) fn with(further: &[(&str, &str)]) -> TestApp {
        let schema = Schema::new();
        let mut app = TestApp::at(&schema.url(), further);
        app.schema = Some(schema);
        app
    }

    /// Starts a service on a given database.
    pub(crate) fn at(url: &str, further: &[(&str, &str)]) -> TestApp {
        TestApp::configured(&configure(url, further))
    }

    /// Starts a service that sweeps ended sessions all the time, in a schema of its own.
    pub(crate) fn sweeping() -> TestApp {
        let schema = Schema::new();
        let mut app = TestApp::sweeping_at(&schema.url());
        app.schema = Some(schema);
        app
    }

    /// The same with the statements for tables that Citus distributes.
    pub(crate) fn sweeping_distributed() -> TestApp {
        let schema = Schema::new();
        let mut app = TestApp::sweeping_at(&schema.url_of_pretended_citus());
        app.schema = Some(schema);
        app
    }

    /// The same on a given database.
    pub(crate) fn sweeping_at(url: &str) -> TestApp {
        let mut config = configure(url, &[("METRICS_PORT", "0")]);
        config.retention.sweep_interval = Some(Duration::from_millis(20));
        TestApp::configured(&config)
    }

    fn configured(config: &Config) -> TestApp {
        let app = App::start(config, &AtomicBool::new(false)).expect("the service starts");
        let client = Client::new(app.address());
        TestApp { app: Some(app), client, schema: None }
    }

    /// The URL of the service's schema.
    pub(crate) fn url(&self) -> String {
        self.schema.as_ref().expect("a schema of its own").url()
    }

    /// A client of PostgreSQL in the service's schema.
    pub(crate) fn sql(&self) -> postgres::Client {
        self.schema.as_ref().expect("a schema of its own").client()
    }

    /// What the service measures, if it has a `METRICS_PORT`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        let address = self.app.as_ref().and_then(App::metrics_address).expect("a METRICS_PORT");
        Client::new(address).get("/metrics").assert_status(200).text()
    }

    /// Creates a session and returns its id.
    #[track_caller]
    pub(crate) fn create_session(&self) -> String {
        let session = self.client.post("/api/v1/sessions").assert_status(201).json();
        session["session_id"].as_str().unwrap().to_owned()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(app) = self.app.take() {
            app.stop();
        }
    }
}

/// Variables of a configuration.
pub(crate) type Variables = HashMap<String, String>;

pub(crate) fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A configuration for a test: on a free port of the loopback address, with few threads and connections.
pub(crate) fn configure(url: &str, further: &[(&str, &str)]) -> Config {
    let mut all: Variables = variables(&[
        ("DATABASE_URL", url),
        ("APP_HOST", "127.0.0.1"),
        ("APP_PORT", "0"),
        ("APP_WORKERS", "8"),
        ("DB_POOL_MIN_SIZE", "1"),
        ("DB_POOL_MAX_SIZE", "4"),
        // Tests of anything else send more than one client may.
        ("RATE_LIMIT", "off"),
    ]);
    all.extend(variables(distribution(url).as_slice()));
    all.extend(variables(further));
    let mut config = Config::from_variables(&all).expect("a valid configuration");
    // The tests of anything else count connections, locks and rows.
    config.retention.sweep_interval = None;
    config
}
