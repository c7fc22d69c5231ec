//! Dumps, backups, logs and archived segments that the operator names.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use safespace::private_postgres::PrivatePostgres;

use super::deployment::{Deployment, WORD};
use crate::support::cluster::DataFolder;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Runs a program of PostgreSQL.
fn run_program(deployment: &Deployment, name: &str, arguments: &[&str]) {
    let programs = PrivatePostgres::installed(&DataFolder::new().config()).unwrap().folder;
    let mut command = Command::new(programs.join(name));
    command.arg("--host").arg(deployment.folder().join("socket")).args(["--username", "safespace"]);
    let output = command.args(arguments).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn dumps_of_every_format_are_searched() {
    let deployment = Deployment::start();
    let (id, chat) = deployment.create_session();
    let mut sql = deployment.sql();
    let filler = "INSERT INTO notes SELECT md5(number::text) FROM generate_series(1, 20000) AS numbers (number)";
    sql.batch_execute(&format!(
        "CREATE TABLE notes (text text); {filler}; INSERT INTO notes VALUES ('{WORD}'); {filler}"
    ))
    .unwrap();
    sql.batch_execute(&format!("SELECT lo_from_bytea(0, convert_to('{WORD}', 'UTF8'))")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, arguments) in [
        ("plain.sql", vec!["--format=plain"]),
        ("plain.sql.gz", vec!["--format=plain", "--compress=6"]),
        ("custom", vec!["--format=custom"]),
        ("custom.none", vec!["--format=custom", "--compress=0"]),
        ("directory", vec!["--format=directory"]),
        ("archive.tar", vec!["--format=tar"]),
    ] {
        run_program(&deployment, "pg_dump", &[&arguments[..], &["--file", &path(name), "safespace"]].concat());
    }
    run_program(
        &deployment,
        "pg_basebackup",
        &["--format=tar", "--gzip", "--checkpoint=fast", "--no-sync", "--pgdata", &path("backup")],
    );
    sql.batch_execute("DROP TABLE notes; SELECT lo_unlink(oid) FROM pg_largeobject_metadata").unwrap();
    deployment.erase(&chat);
    for name in ["plain.sql", "plain.sql.gz", "custom", "custom.none", "directory", "archive.tar", "backup"] {
        let arguments = ["--without-data-folder", "--dump", &path(name)];
        // A dump has the rows, and nobody can open them without the id.
        deployment.verify(&id, &arguments).assert(0, "ciphertext_without_key");
        let found = deployment.verify(&id, &[&[WORD][..], &arguments].concat());
        found.assert(1, "found");
        // In the table, and in the large object.
        assert!(found.count_of_word(1, "dump", "bytes", name) >= 2, "{name}: {found}");
        assert_eq!(found.not_looked("dump"), "[]", "{name}");
    }
}

#[test]
fn archived_segments_and_rotated_logs_are_searched() {
    let deployment = Deployment::start();
    let (id, chat) = deployment.create_session();
    deployment
        .sql()
        .batch_execute(&format!("SELECT pg_logical_emit_message(false, 'x', repeat('{WORD}', 3000))"))
        .unwrap();
    deployment.erase(&chat);
    let folder = tempfile::tempdir().unwrap();
    let segment = "000000010000000000000001";
    let content = fs::read(deployment.cluster().join("pg_wal").join(segment)).unwrap();
    for (name, content) in [(segment.to_owned(), content.clone()), (format!("{segment}.gz"), gzip(&content))] {
        let archive = folder.path().join(&name);
        fs::write(&archive, content).unwrap();
        let arguments = ["--without-data-folder", "--wal-archive", archive.to_str().unwrap()];
        deployment.verify(&id, &arguments).assert(0, "ciphertext_without_key");
        let found = deployment.verify(&id, &[&[WORD][..], &arguments].concat());
        found.assert(1, "found");
        // Also those that the header of a page cuts in two.
        assert_eq!(found.count_of_word(1, "wal_archive", "bytes", &name), 3000, "{found}");
    }
    let logs = tempfile::tempdir().unwrap();
    let line = format!("a line with {WORD}\n");
    fs::write(logs.path().join("service.log.2.gz"), gzip(line.as_bytes())).unwrap();
    fs::write(logs.path().join("service.log"), "a line\n").unwrap();
    let arguments = [WORD, "--without-data-folder", "--log", logs.path().to_str().unwrap()];
    let found = deployment.verify(&id, &arguments);
    assert_eq!(found.count_of_word(1, "log", "bytes", "service.log.2.gz"), 1, "{found}");
}

#[test]
fn a_word_across_the_border_of_two_pieces_of_a_large_file_is_found() {
    let deployment = Deployment::start();
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("large"), folder.path().join("large.gz"));
    let id = "38ccd37d-31aa-4704-a189-5cc43fd3988c";
    // Pieces of 1 MiB begin behind an overlap of whole pages, of whatever number.
    let mut content = vec![b'.'; 4 << 20];
    let places: Vec<usize> = (1..500).map(|page| page * 8192 - WORD.len() / 2).collect();
    for place in &places {
        content[*place..place + WORD.len()].copy_from_slice(WORD.as_bytes());
    }
    fs::write(&plain, &content).unwrap();
    fs::write(&packed, gzip(&content)).unwrap();
    for path in [plain, packed] {
        let found = deployment.verify(id, &[WORD, "--without-data-folder", "--dump", path.to_str().unwrap()]);
        assert_eq!(found.count_of_word(1, "dump", "bytes", "large"), places.len() as u64, "{found}");
    }
}

#[test]
fn what_cannot_be_looked_into_is_told_with_exit_code_2_unless_something_is_found() {
    let deployment = Deployment::start();
    let id = "38ccd37d-31aa-4704-a189-5cc43fd3988c";
    let folder = tempfile::tempdir().unwrap();
    let cut = &gzip(&[b'.'; 5_000_000])[..1_000];
    for (name, content, reason) in [
        ("dump.zst", &b"\x28\xb5\x2f\xfd rest"[..], "it is of the kind zstd: unpack it"),
        ("dump.lz4", b"\x04\x22\x4d\x18 rest", "it is of the kind lz4"),
        (
            "custom.lz4",
            b"PGDMP\x01\x10\x00\x04\x08\x01\x02\x00\x00\x00\x00",
            "compressed with lz4: unpack it with pg_restore",
        ),
        ("custom.cut", b"PGDMP\x01\x0e\x00\x04\x08\x01\x01\x01\x00\x00\x00", "no data reach its end"),
        ("cut.gz", cut, "deflate"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let found = deployment.verify(id, &["--without-data-folder", "--dump", path.to_str().unwrap()]);
        found.assert(2, "not_looked");
        assert!(found.not_looked("dump").contains(reason), "{name}: {found}");
    }
    let missing = folder.path().join("missing");
    let empty = tempfile::tempdir().unwrap();
    for (path, reason) in [(missing.as_path(), "No such file"), (empty.path(), "there is no file in it")] {
        let found = deployment.verify(id, &["--without-data-folder", "--log", path.to_str().unwrap()]);
        found.assert(2, "not_looked");
        assert!(found.not_looked("log").contains(reason), "{found}");
    }
    plant(&folder.path().join("service.log"));
    let found = deployment.verify(id, &[WORD, "--without-data-folder", "--log", folder.path().to_str().unwrap()]);
    found.assert(1, "found");
    assert!(found.not_looked("log").contains("zstd"), "{found}");
}

fn plant(path: &Path) {
    writeln!(File::create(path).unwrap(), "a line with {WORD}").unwrap();
}
