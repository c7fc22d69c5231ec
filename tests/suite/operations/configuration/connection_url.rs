//! `DATABASE_URL`, as libpq reads it. The outcomes that libpq also has were compared with `PQconninfoParse` of 15 and 18.

use std::time::Duration;

use postgres::NoTls;
use postgres::config::{ChannelBinding, LoadBalanceHosts, TargetSessionAttrs};
use safespace::config::SslMode;

use super::{problems, read, server};
use crate::support::cluster::Cluster;
use crate::support::process::Binary;

#[test]
fn the_parts_of_a_url_are_those_of_libpq() {
    for (url, database) in [
        ("postgres://u:p@h/d", "d as u at h:5432"),
        ("postgresql://u:p@h:5433/d", "d as u at h:5433"),
        ("postgres://u:p@h:/d", "d as u at h:5432"),
        ("postgres://u@h", "u as u at h:5432"),
        ("postgres://u@h?dbname=d", "d as u at h:5432"),
        ("postgres://h/d", "d as (the system's user) at h:5432"),
        ("postgres://u%40x@h/d%62", "db as u@x at h:5432"),
        ("postgres://u@h/d+e", "d+e as u at h:5432"),
        ("postgres://u@h/d/e#f", "d/e#f as u at h:5432"),
        // The query overrides what precedes it, each parameter by itself, and the last of a name counts.
        ("postgres://u:p@localhost:1111/d?host=/run/s&port=2222", "d as u at /run/s, port 2222"),
        ("postgres://u:p@127.0.0.1/d?port=55432", "d as u at 127.0.0.1:55432"),
        ("postgres://u:p@127.0.0.1:1/d?port=55432", "d as u at 127.0.0.1:55432"),
        ("postgres://u:p@h:1/d?host=g", "d as u at g:1"),
        ("postgres://u:p@h/d?host=a&host=b", "d as u at b:5432"),
        ("postgres://u:p@h/d?dbname=e&user=v&password=q", "e as v at h:5432"),
        ("postgres://u:p@h/d?", "d as u at h:5432"),
        ("postgres://u:p@h/d?application_name=x&", "d as u at h:5432"),
        ("postgres://u:p@h/d?port=&dbname=", "u as u at h:5432"),
        ("postgres://h/d?user=name@server", "d as name@server at h:5432"),
        // Sockets.
        ("postgres:///d?host=/var/run/postgresql&user=u", "d as u at /var/run/postgresql, port 5432"),
        ("postgres://u@%2Frun%2Fpg:5433/d", "d as u at /run/pg, port 5433"),
        // Several hosts.
        ("postgres://u@h,g/d", "d as u at h:5432, g:5432"),
        ("postgres://u@h,g:2/d", "d as u at h:5432, g:2"),
        ("postgres://u@h:1,g:2/d?port=9", "d as u at h:9, g:9"),
        ("postgres://u@h:1,g:2/d?port=8,9", "d as u at h:8, g:9"),
        ("postgres://u@x/d?host=h,g&port=1,", "d as u at h:1, g:5432"),
        // IPv6.
        ("postgres://u@[::1]/d", "d as u at [::1]:5432"),
        ("postgres://u@[::1]:5433/d", "d as u at [::1]:5433"),
        ("postgres://u@[::1],[2001:db8::2]:6/d", "d as u at [::1]:5432, [2001:db8::2]:6"),
        ("postgres:///d?user=u&host=::1", "d as u at [::1]:5432"),
        // An address is connected to, and its host is for TLS.
        ("postgres://u@h/d?hostaddr=10.0.0.1", "d as u at h:5432 (10.0.0.1)"),
        ("postgres://u@/d?hostaddr=10.0.0.1", "d as u at 10.0.0.1:5432 (10.0.0.1)"),
        ("postgres://u@h,g/d?hostaddr=10.0.0.1,::2", "d as u at h:5432 (10.0.0.1), g:5432 (::2)"),
        // White space around it is taken off.
        (" postgres://u@h/d\r\n", "d as u at h:5432"),
    ] {
        assert_eq!(server(&read(&[("DATABASE_URL", url)])).to_string(), database, "{url}");
    }
}

#[test]
fn the_password_of_a_url_is_that_of_libpq() {
    for (url, password) in [
        ("postgres://u:p%40ss@h/d", "p@ss"),
        ("postgres://u:p?a#b@h/d", "p?a#b"),
        ("postgres://u:a:b@h/d", "a:b"),
        ("postgres://u:p+w%20x@h/d", "p+w x"),
        ("postgres://u@h/d?password=p%26q%3D", "p&q="),
        ("postgres://u:p@h/d?password=q", "q"),
    ] {
        let config = read(&[("DATABASE_URL", url)]);
        assert_eq!(server(&config).connect.get_password(), Some(password.as_bytes()), "{url}");
    }
    let config = read(&[("DATABASE_URL", "postgres://u:@h/d")]);
    assert_eq!(server(&config).connect.get_password(), None);
}

#[test]
fn parameters_of_a_connection_reach_the_driver() {
    let url = "postgres://u:p@h/d?options=-csearch_path%3Da%20-c%20b=c";
    assert!(problems(&[("DATABASE_URL", url)])[0].contains("write %3D"));
    let url = "postgres://u:p@h/d?options=-csearch_path%3Da%20-cb%3Dc&application%5Fname=x&channel_binding=require\
               &load_balance_hosts=random&target_session_attrs=read-write&sslmode=require";
    let config = read(&[("DATABASE_URL", url)]);
    let connect = &server(&config).connect;
    assert_eq!(connect.get_options(), Some("-csearch_path=a -cb=c"));
    assert_eq!(connect.get_application_name(), Some("x"));
    assert_eq!(connect.get_channel_binding(), ChannelBinding::Require);
    assert_eq!(connect.get_load_balance_hosts(), LoadBalanceHosts::Random);
    assert_eq!(connect.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(server(&config).ssl_mode, SslMode::Require);
    for (query, mode, attributes) in [
        ("ssl=true", SslMode::Require, TargetSessionAttrs::Any),
        ("sslmode=allow", SslMode::Prefer, TargetSessionAttrs::Any),
        ("target_session_attrs=primary", SslMode::Prefer, TargetSessionAttrs::ReadWrite),
        ("target_session_attrs=any", SslMode::Prefer, TargetSessionAttrs::Any),
        // Of several hosts one takes writes.
        ("host=h,g", SslMode::Prefer, TargetSessionAttrs::ReadWrite),
        ("host=h,g&target_session_attrs=any", SslMode::Prefer, TargetSessionAttrs::Any),
    ] {
        let config = read(&[("DATABASE_URL", &format!("postgres://u:p@h/d?{query}"))]);
        let found = (server(&config).ssl_mode, server(&config).connect.get_target_session_attrs());
        assert_eq!(found, (mode, attributes), "{query}");
    }
    for (query, timeout) in [("connect_timeout=7", Some(7)), ("connect_timeout=", None), ("", None)] {
        let config = read(&[("DATABASE_URL", &format!("postgres://u:p@h/d?{query}"))]);
        let found = server(&config).connect.get_connect_timeout().copied();
        assert_eq!((found, config.warnings().len()), (timeout.map(Duration::from_secs), 0), "{query}");
    }
    let config = read(&[("DATABASE_URL", "postgres://u@h/d?fallback_application_name=y")]);
    assert_eq!(server(&config).connect.get_application_name(), Some("y"));
}

#[test]
fn parameters_that_ask_for_what_happens_anyway_are_accepted() {
    for query in [
        "gssencmode=disable",
        "gssencmode=prefer",
        "gssdelegation=0",
        "client_encoding=UTF8",
        "replication=false",
        "sslnegotiation=postgres",
        "sslcompression=0",
        "sslsni=1",
        "sslcertmode=allow",
        "ssl_min_protocol_version=TLSv1.2",
        "min_protocol_version=3.0",
        "max_protocol_version=latest",
        "sslcert=&service=",
    ] {
        let config = read(&[("DATABASE_URL", &format!("postgres://u:p@localhost/d?{query}"))]);
        assert_eq!(config.warnings(), Vec::<String>::new(), "{query}");
    }
    for name in ["tcp_user_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "krbsrvname"] {
        let warnings = read(&[("DATABASE_URL", &format!("postgres://u:p@localhost/d?{name}=5"))]).warnings();
        let start = format!("DATABASE_URL: its parameter {name} has no effect: ");
        assert!(warnings.len() == 1 && warnings[0].starts_with(&start), "{warnings:?}");
    }
}

#[test]
fn urls_that_libpq_refuses_or_misreads_are_refused_without_quoting_them() {
    for (url, problem) in [
        ("host=h user=hunter2", "not a URL of the form"),
        ("hunter2", "not a URL of the form"),
        ("u:hunter2@h/d?x=://", "not a URL of the form"),
        ("POSTGRES://u:hunter2@h/d", "it must begin with postgres:// or postgresql://"),
        ("postgresql+psycopg://u:hunter2@h/d", "it must begin with postgres:// or postgresql://"),
        ("postgres+asyncpg://u:hunter2@h/d", "it must begin with postgres:// or postgresql://"),
        ("jdbc:postgresql://u:hunter2@h/d", "it must begin with postgres:// or postgresql://"),
        ("mysql://u:hunter2@h/d", "it must begin with postgres:// or postgresql://"),
        ("\"postgres://u:hunter2@h/d\"", "it has quotes around it; remove them"),
        ("'postgres://u:hunter2@h/d'", "it has quotes around it; remove them"),
        ("“postgres://u:hunter2@h/d”", "it has quotes around it; remove them"),
        ("postgres://u:p@hunter2@h/d", "not a URL of the form"),
        ("postgres://u:12/hunter2@h/d", "not a URL of the form"),
        ("postgres://u:12/x?hunter2=a@h/d", "it has a parameter, after the ?, that is not known"),
        ("postgres://u:12/x?hunter2=1&user=a&dbname=b@h/d", "it has a parameter, after the ?, that is not known"),
        ("postgres://u:hunter2@h/a d", "white space"),
        ("postgres://u:hunter2%zz@h/d", "without two hexadecimal digits"),
        ("postgres://u:hunter2%0@h/d", "without two hexadecimal digits"),
        ("postgres://u:hunter2%00@h/d", "without two hexadecimal digits"),
        ("postgres://u:hunter2%ff@h/d", "not UTF-8"),
        ("postgres://", "names no host"),
        ("postgres:///d", "names no host"),
        ("postgres://u:hunter2@/d", "names no host"),
        ("postgres://u:hunter2@:5433/d", "names no host"),
        ("postgres://u:hunter2@h/d?host=", "names no host"),
        ("postgres://u:hunter2@h,/d", "is empty"),
        ("postgres://u@h_1,h 2/d", "white space"),
        ("postgres://u@h%20x/d", "is not the name"),
        ("postgres://u@h/d?host=~/run", "is not the name"),
        ("postgres://u@h/d?host=@abstract", "is not the name"),
        ("postgres://u@h/d?host=/run/.s.PGSQL.5432", "write its folder"),
        ("postgres://u@[::1/d", "without a ]"),
        ("postgres://u@[]/d", "not of the form [::1]"),
        ("postgres://u@[::1]x/d", "not of the form [::1]"),
        ("postgres://u@[localhost]x/d", "not of the form [::1]"),
        ("postgres://u@::1/d", "needs brackets"),
        ("postgres://u@::1:5433/d", "needs brackets"),
        ("postgres://u@h:hunter2/d", "its port is not a number"),
        ("postgres://u@h:0/d", "its port is not a number"),
        ("postgres://u@h:99999/d", "its port is not a number"),
        ("postgres://u@h/d?port=99999", "its port is not a number"),
        ("postgres://u@h,g,f/d?port=1,2", "2 ports for 3 hosts"),
        ("postgres://u@h/d?port=1,2", "2 ports for 1 hosts"),
        ("postgres://u@h,g/d?hostaddr=10.0.0.1", "1 hostaddr for 2 hosts"),
        ("postgres://u@h/d?hostaddr=example.org", "hostaddr is not an address"),
        ("postgres://u@/d?host=/run&hostaddr=10.0.0.1", "hostaddr for the folder"),
        ("postgres://u@h/d?&sslmode=require", "has no value"),
        ("postgres://u@h/d?sslmode", "has no value"),
        ("postgres://u@h/d?options=-c%20a=b", "write %3D"),
        ("postgres://u@h/d?foo=hunter2", "its parameter foo is not one of libpq's"),
        ("postgres://u:p%40ss@h/d?foo=1&user=a@b", "its parameter foo is not one of libpq's"),
        ("postgres://u@h/d?foo=", "its parameter foo is not one of libpq's"),
        ("postgres://u@h/d?SSLMODE=require", "its parameter SSLMODE is not one of libpq's"),
        ("postgres://u@h/d?ssl=1", "its parameter ssl is not one of libpq's"),
        ("postgres://u@h/d?schema=hunter2", "its parameter schema cannot be used"),
        ("postgres://u@h/d?pgbouncer=true", "its parameter pgbouncer cannot be used"),
        ("postgres://u@h/d?sslmode=no-verify", "its sslmode is not one of disable, allow, prefer"),
        ("postgres://u@h/d?target_session_attrs=read-only", "SafeSpace writes"),
        ("postgres://u@h/d?target_session_attrs=standby", "SafeSpace writes"),
        ("postgres://u@h/d?target_session_attrs=prefer-standby", "SafeSpace writes"),
        ("postgres://u@h/d?channel_binding=on", "its channel_binding is not one of"),
        ("postgres://u@h/d?connect_timeout=0", "its connect_timeout is not a whole number of seconds from 1 to 300"),
        ("postgres://u@h/d?connect_timeout=301", "its connect_timeout is not"),
        ("postgres://u@h/d?connect_timeout=-1", "its connect_timeout is not"),
        ("postgres://u@h/d?load_balance_hosts=yes", "its load_balance_hosts is not one of"),
        ("postgres://u@h/d?gssencmode=require", "its parameter gssencmode can only be disable or prefer"),
        ("postgres://u@h/d?client_encoding=LATIN1", "its parameter client_encoding can only be"),
        ("postgres://u@h/d?sslnegotiation=direct", "its parameter sslnegotiation can only be postgres"),
        ("postgres://u@h/d?ssl_min_protocol_version=TLSv1.3", "its parameter ssl_min_protocol_version can only be"),
        ("postgres://u@h/d?replication=true", "its parameter replication can only be"),
    ] {
        let found = problems(&[("DATABASE_URL", url)]);
        let is_found = |text: &String| text.starts_with("DATABASE_URL: ") && text.contains(problem);
        assert!(found.len() == 1 && is_found(&found[0]) && !found[0].contains("hunter2"), "{url}: {found:?}");
    }
    for name in [
        "sslcert",
        "sslkey",
        "sslpassword",
        "sslcrl",
        "sslcrldir",
        "sslkeylogfile",
        "requirepeer",
        "require_auth",
        "service",
        "passfile",
        "scram_client_key",
        "scram_server_key",
        "oauth_issuer",
        "oauth_client_id",
        "oauth_client_secret",
        "oauth_scope",
    ] {
        let found = problems(&[("DATABASE_URL", &format!("postgres://u@h/d?{name}=hunter2"))]);
        let start = format!("DATABASE_URL: its parameter {name} cannot be used: ");
        assert!(found.len() == 1 && found[0].starts_with(&start) && !found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn all_parameters_of_a_url_that_cannot_be_used_are_told_together() {
    let found = problems(&[("DATABASE_URL", "postgres://u@h:0/d?foo=1&sslcert=a&channel_binding=x&sslmode=y")]);
    let expected = ["parameter foo", "parameter sslcert", "port", "channel_binding", "sslmode"];
    for name in expected {
        assert!(found.iter().any(|problem| problem.contains(name)), "{name}: {found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
}

#[test]
fn migrate_makes_the_tables_where_the_query_points() {
    let (named, meant) = (Cluster::start(), Cluster::start());
    let url = format!("{}?host={}", named.url(), meant.folder().join("socket").display());
    let output = Binary::new(&[("DATABASE_URL", &url)]).argument("migrate").run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tables = |cluster: &Cluster| {
        let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
        sql.query("SELECT FROM pg_tables WHERE schemaname = 'public'", &[]).unwrap().len()
    };
    assert_eq!(tables(&named), 0);
    assert!(tables(&meant) > 0);
}
