//! What the doctor finds at the public address, and in logs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::deployment::Production;
use crate::support::timing::PATIENCE;

/// What a proxy does with an answer of the service: head and body.
type Change = Arc<dyn Fn(String) -> String + Send + Sync>;

/// One without a state.
type Rewrite = fn(String) -> String;

/// A proxy in front of a service, which closes each connection after one answer.
struct Proxy {
    address: SocketAddr,
    /// The file of its certificate, with TLS.
    authority: Option<PathBuf>,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Forwards to `service`. With `log`, each request is written to a file.
    fn start(
        service: SocketAddr,
        with_tls: bool,
        log: bool,
        change: impl Fn(String) -> String + Send + Sync + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (tls, authority) = if with_tls { tls(folder.path()) } else { (None, None) };
        let log = log.then(|| folder.path().join("access.log"));
        let change: Change = Arc::new(change);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, log, change) = (tls.clone(), log.clone(), change.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let _ = match tls {
                        Some(config) => {
                            let connection = ServerConnection::new(config).unwrap();
                            forward(StreamOwned::new(connection, stream), service, log.as_deref(), &change)
                        }
                        None => forward(stream, service, log.as_deref(), &change),
                    };
                });
            }
        });
        Proxy { address, authority, folder }
    }

    fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    fn logs(&self) -> String {
        self.folder.path().display().to_string()
    }
}

/// Passes one request on, and its answer back.
fn forward(mut client: impl Read + Write, service: SocketAddr, log: Option<&Path>, change: &Change) -> io::Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = client.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    if let Some(log) = log {
        File::options().append(true).create(true).open(log)?.write_all(&head)?;
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (line, rest) = head.split_once("\r\n").unwrap();
    let mut service = TcpStream::connect(service)?;
    write!(service, "{line}\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.9\r\n{rest}")?;
    let mut answer = Vec::new();
    service.read_to_end(&mut answer)?;
    client.write_all(change(String::from_utf8_lossy(&answer).into_owned()).as_bytes())?;
    client.flush()
}

/// TLS with a certificate for `localhost` of an authority whose file is in the folder.
fn tls(folder: &Path) -> (Option<Arc<ServerConfig>>, Option<PathBuf>) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let file = folder.join("authority.pem");
    fs::write(&file, authority.pem()).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (Some(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())), Some(file))
}

/// Adds a field to an answer.
fn adding(field: &'static str) -> impl Fn(String) -> String + Send + Sync + 'static {
    move |answer| answer.replacen("\r\n", &format!("\r\n{field}\r\n"), 1)
}

#[test]
fn a_proxy_with_tls_that_changes_nothing_is_quiet() {
    let production = Production::start();
    let proxy = Proxy::start(production.service.address, true, false, |answer| answer);
    let authority = proxy.authority.as_ref().unwrap().display().to_string();
    let found =
        production.examine(&[("SSL_CERT_FILE", &authority)], &["--public-url", &proxy.url(), "--logs", &proxy.logs()]);
    let loud: Vec<_> = found.codes().into_iter().filter(|code| code.starts_with("proxy.")).collect();
    assert_eq!(loud, ["proxy.docs", "proxy.health", "proxy.no_hsts"], "{:#}", found.json);
    found.assert_lacks("service.id_in_log");
    found.assert_lacks("service.cors");
    assert!(found.not_checked("X-Forwarded-For").is_some(), "{:#}", found.json);
    // Without its authority the certificate is not valid.
    let found = production.examine(&[], &["--public-url", &proxy.url()]);
    found.assert_has("proxy.certificate");
}

#[test]
fn each_fault_of_a_proxy_is_found() {
    let production = Production::start();
    let found_behind = |change: Rewrite| {
        let proxy = Proxy::start(production.service.address, false, false, change);
        production.examine(&[], &["--public-url", &proxy.url()])
    };
    let quiet = found_behind(|answer| answer);
    let cases: [(Rewrite, &str); 7] = [
        (|answer| adding("Strict-Transport-Security: max-age=63072000")(answer), "proxy.hsts"),
        (|answer| answer.replace("Cache-Control: no-store", "Cache-Control: max-age=60"), "proxy.cache_control"),
        (|answer| answer.replace("X-Content-Type-Options", "X-Nothing"), "proxy.headers"),
        (|answer| answer.replace("Referrer-Policy: no-referrer", "Referrer-Policy: unsafe-url"), "proxy.headers"),
        (|answer| adding("Set-Cookie: instance=1")(answer), "proxy.cookie"),
        (|answer| adding("Access-Control-Allow-Origin: *")(answer), "service.cors"),
        (
            // What it forwards to the metrics.
            |answer| {
                if answer.contains("path_not_found") {
                    "HTTP/1.1 200 OK\r\n\r\nsafespace_requests 1".into()
                } else {
                    answer
                }
            },
            "proxy.metrics",
        ),
    ];
    quiet.assert_has("proxy.no_tls");
    quiet.assert_lacks("proxy.not_trusted");
    for (change, code) in cases {
        quiet.assert_lacks(code);
        found_behind(change).assert_has(code);
    }
}

#[test]
fn a_proxy_that_is_not_trusted_is_found() {
    let production = Production::with(&[("TRUSTED_PROXIES", "")]);
    let proxy = Proxy::start(production.service.address, false, false, |answer| answer);
    production.examine(&[], &["--public-url", &proxy.url()]).assert_has("proxy.not_trusted");
}

#[test]
fn what_is_not_the_service_behind_a_proxy_is_not_checked() {
    let production = Production::start();
    let proxy = Proxy::start(production.service.address, false, false, |_| "HTTP/1.1 502 Bad\r\n\r\n".to_owned());
    let found = production.examine(&[], &["--public-url", &proxy.url()]);
    let because = found.not_checked("the proxy").unwrap()["because"].as_str().unwrap();
    assert!(because.contains("answers with 502"), "{because}");
}

#[test]
fn a_log_with_paths_or_authorization_is_found_and_no_id_is_printed() {
    let production = Production::start();
    let proxy = Proxy::start(production.service.address, false, true, |answer| answer);
    let found = production.examine(&[], &["--public-url", &proxy.url(), "--logs", &proxy.logs()]);
    let hits: Vec<&str> = found
        .findings()
        .iter()
        .filter(|it| it["code"] == "service.id_in_log")
        .map(|it| it["what"].as_str().unwrap())
        .collect();
    assert_eq!(hits.len(), 2, "{hits:?}");
    assert!(hits[0].contains("access.log has the path of a request to http://localhost:"), "{hits:?}");
    assert!(hits[1].contains("access.log has the field Authorization of a request"), "{hits:?}");
    let log = fs::read_to_string(proxy.folder.path().join("access.log")).unwrap();
    let id = log.split("/api/v1/sessions/").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(id.len(), 36);
    assert!(!found.json.to_string().contains(id));
    // The log before is found again only by the ids of a new request.
    let quiet = Proxy::start(production.service.address, false, false, |answer| answer);
    let found = production.examine(&[], &["--public-url", &quiet.url(), "--logs", &proxy.logs()]);
    found.assert_lacks("service.id_in_log");
}

#[test]
fn a_log_that_cannot_be_read_is_told() {
    let production = Production::start();
    let found = production.examine(&[], &["--logs", "/no/such/log"]);
    let not_checked = found.not_checked("log files").unwrap_or_else(|| panic!("{:#}", found.json));
    assert!(not_checked["what"].as_str().unwrap().contains("/no/such/log"), "{not_checked}");
}
