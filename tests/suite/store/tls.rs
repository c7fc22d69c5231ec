//! TLS to PostgreSQL, with libpq's meaning of each mode, against a server that has it.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;

use nix::unistd::{User, geteuid};
use postgres::NoTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use safespace::app::App;
use safespace::config::Config;
use safespace::private_postgres::PrivatePostgres;

use crate::support::cluster::{DataFolder, try_signal};
use crate::support::eventually;
use crate::support::http::Client;
use crate::support::timing::PATIENCE;
use crate::support::variables;

/// A PostgreSQL on TCP with TLS, the authority of its certificate, and another authority.
struct Secured {
    process: Child,
    _folder: DataFolder,
    port: u16,
    authority: String,
    other_authority: String,
}

impl Secured {
    /// The certificate is for `name` only. `hba` is the line of `pg_hba.conf` for TCP.
    fn start(name: &str, hba: &str) -> Secured {
        let folder = cluster_with_role();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let authority = authority();
        fs::write(path("authority.pem"), authority.pem()).unwrap();
        fs::write(path("other.pem"), self::authority().pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        fs::write(path("server.pem"), certificate.pem()).unwrap();
        fs::write(path("server.key"), key.serialize_pem()).unwrap();
        // PostgreSQL refuses a key that other users can read.
        fs::set_permissions(path("server.key"), Permissions::from_mode(0o600)).unwrap();
        fs::write(path("hba"), format!("local all all trust\n{hba}\n")).unwrap();

        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(PrivatePostgres::installed(&folder.config()).unwrap().folder.join("postgres"));
        command.args([
            "-D",
            &path("cluster"),
            "-k",
            &path("socket"),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "ssl=on",
        ]);
        command.args(["-c", &format!("port={port}")]).stderr(File::create(path("log")).unwrap());
        for (setting, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key"), ("hba_file", "hba")] {
            command.args(["-c", &format!("{setting}={}", path(file))]);
        }
        if let Some(user) = User::from_name("postgres").unwrap().filter(|_| geteuid().is_root()) {
            chown(path("server.key"), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let process = command.spawn().unwrap();
        let mut local = postgres::Config::new();
        local.host_path(path("socket")).port(port).user("client").dbname("safespace");
        eventually(PATIENCE, || local.connect(NoTls).ok());
        let (authority, other_authority) = (path("authority.pem"), path("other.pem"));
        Secured { process, _folder: folder, port, authority, other_authority }
    }

    /// Starts the service over TCP and returns whether its connection uses TLS.
    fn connect(&self, further: &[(&str, &str)]) -> Result<bool, String> {
        let port = self.port.to_string();
        let mut all = variables(&[
            ("DB_HOST", "127.0.0.1"),
            ("DB_PORT", &port),
            ("DB_NAME", "safespace"),
            ("DB_USER", "client"),
            ("DB_PASSWORD", "hunter2"),
            ("APP_HOST", "127.0.0.1"),
            ("APP_PORT", "0"),
            ("DB_POOL_MAX_SIZE", "1"),
            // Under load a handshake takes long.
            ("DB_ACQUIRE_TIMEOUT_MS", "10000"),
        ]);
        all.extend(variables(further));
        let config = Config::from_variables(&all).map_err(|problems| problems.to_string())?;
        let mut report = String::new();
        safespace::check::check(&config, false, &mut report).map_err(|error| error.to_string())?;
        // The pool connects as well, not only the connection of the check.
        let app = App::start(&config, &AtomicBool::new(false)).map_err(|error| error.to_string())?;
        let client = Client::new(app.address());
        client.post("/api/v1/sessions").assert_status(201);
        app.stop();
        Ok(report.contains("TLSv1"))
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        try_signal("INT", self.process.id());
        let _ = self.process.wait();
    }
}

/// A stopped cluster with a role that has a password.
fn cluster_with_role() -> DataFolder {
    let folder = DataFolder::new();
    let running = PrivatePostgres::start(&folder.config(), &[], &AtomicBool::new(false)).unwrap();
    let mut sql = postgres::Client::connect(&folder.url(), NoTls).unwrap();
    sql.batch_execute("CREATE ROLE client SUPERUSER LOGIN PASSWORD 'hunter2'").unwrap();
    drop((sql, running));
    folder
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn each_mode_verifies_the_certificate_as_libpq_does() {
    let server = Secured::start("127.0.0.1", "hostssl all all 127.0.0.1/32 scram-sha-256");
    let (right, wrong) = (server.authority.as_str(), server.other_authority.as_str());
    for (mode, authority, accepted) in [
        ("prefer", None, true),
        ("require", None, true),
        ("require", Some(right), true),
        ("require", Some(wrong), false),
        ("verify-ca", Some(right), true),
        ("verify-ca", Some(wrong), false),
        ("verify-full", Some(right), true),
        ("verify-full", Some(wrong), false),
        ("verify-full", Some("system"), false),
    ] {
        let mut further = vec![("DB_SSLMODE", mode)];
        further.extend(authority.map(|authority| ("DB_SSLROOTCERT", authority)));
        match server.connect(&further) {
            Ok(tls) => assert!(accepted && tls, "{mode} {authority:?}: TLS {tls}"),
            Err(error) => {
                assert!(!accepted && error.contains("certificate"), "{mode} {authority:?}: {error}");
                assert!(!error.contains("hunter2"), "{error}");
            }
        }
    }
    // This server accepts TLS only, and its error holds no password.
    let error = server.connect(&[("DB_SSLMODE", "disable")]).unwrap_err();
    assert!(error.contains("no encryption") && !error.contains("hunter2"), "{error}");
    let error = server.connect(&[("DB_PASSWORD", "hunter3")]).unwrap_err();
    assert!(error.contains("password authentication failed") && !error.contains("hunter"), "{error}");
}

#[test]
fn a_certificate_for_another_host_passes_verify_ca_and_not_verify_full() {
    let server = Secured::start("db.example.org", "hostssl all all 127.0.0.1/32 scram-sha-256");
    let with = |mode| server.connect(&[("DB_SSLMODE", mode), ("DB_SSLROOTCERT", &server.authority)]);
    assert_eq!(with("verify-ca"), Ok(true));
    let error = with("verify-full").unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}

#[test]
fn prefer_falls_back_to_plain_text_where_the_server_refuses_tls() {
    let server = Secured::start("127.0.0.1", "hostnossl all all 127.0.0.1/32 scram-sha-256");
    assert_eq!(server.connect(&[("DB_SSLMODE", "prefer")]), Ok(false));
    assert!(server.connect(&[("DB_SSLMODE", "require")]).is_err());
}
