//! What statements cost in a session of 10, of 1,000 and of 20,000 messages: as `EXPLAIN (ANALYZE, BUFFERS)` counts it.

mod parameters;

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use parameters::{Parameters, SEALED_BYTES, integer, long, parameter, parameters, session};
use postgres::types::{FromSql, ToSql, Type};
use postgres::{Client, Transaction};
use safespace::app;
use safespace::config::Database;
use safespace::store::Connector;
use serde_json::Value;
use uuid::Uuid;

use crate::support::app::configure;
use crate::support::cluster::Schema;

const LENGTHS: [i32; 3] = [10, 1_000, 20_000];

/// Messages that a statement is asked for: as many as every session has; and as many as a turn reads, which the shortest
/// session does not have.
const FEW: i32 = 4;
const MANY: i32 = 324;

/// Sessions with one message each. So the average session has a few messages.
const OTHERS: i32 = 4_000;

/// What one execution of a statement costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    buffers: i64,
    milliseconds: f64,
}

/// When the planner's statistics were made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Analyzed {
    Never,
    /// When each session had one message.
    Before,
    After,
}

#[test]
fn no_statement_costs_by_the_length_of_its_session_without_statistics() {
    compare_lengths(Analyzed::Never);
}

#[test]
fn no_statement_costs_by_the_length_of_its_session_with_statistics_of_short_sessions() {
    compare_lengths(Analyzed::Before);
}

#[test]
fn no_statement_costs_by_the_length_of_its_session_with_statistics_of_all() {
    compare_lengths(Analyzed::After);
}

/// A connection keeps the plans of its statements, and of the foreign keys whose triggers they run.
#[test]
fn plans_from_when_the_tables_were_small_do_not_read_the_whole_of_large_ones() {
    for small in ["", "VACUUM ANALYZE", "20 rows", "20 rows, VACUUM ANALYZE"] {
        let schema = migrate();
        let (mut sql, mut growing) = (connect(&schema), schema.client());
        if small.starts_with("20 rows") {
            growing.batch_execute(&insert_others(20)).unwrap();
        }
        if small.ends_with("VACUUM ANALYZE") {
            ["sessions", "messages", "reports", "turns"]
                .iter()
                .for_each(|table| growing.batch_execute(&format!("VACUUM ANALYZE {table}")).unwrap());
        }
        let mut prepared = HashMap::new();
        let mut execute = |sql: &mut Client, file: &str, parameters: &Parameters| {
            let statement = prepared.entry(file.to_owned()).or_insert_with(|| {
                let types: Vec<Type> = parameters.iter().map(|(_, of_type)| of_type.clone()).collect();
                sql.prepare_typed(&fs::read_to_string(folder().join(file)).unwrap(), &types).unwrap()
            });
            let values: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|(value, _)| &**value).collect();
            let mut transaction = sql.transaction().unwrap();
            let before = blocks_fetched(&mut transaction);
            // Without its session a message is refused; its plan is kept all the same.
            let executed = transaction.query(statement, &values);
            let fetched = if executed.is_ok() { blocks_fetched(&mut transaction) - before } else { 0 };
            transaction.rollback().unwrap();
            (executed.is_ok(), fetched)
        };
        let parameters = |file: &str, variant: usize, session: Uuid| {
            let mut parameters = parameters(file, 1, FEW, &[]).swap_remove(variant);
            let several = parameters[0].1 == Type::UUID_ARRAY;
            parameters[0] =
                if several { parameter(vec![session], Type::UUID_ARRAY) } else { parameter(session, Type::UUID) };
            parameters
        };
        let files: Vec<String> =
            statements_of_sessions().into_iter().filter(|file| !file.starts_with("sessions/create")).collect();
        let session = others(&mut sql, 1).first().copied().unwrap_or_default();
        for file in &files {
            execute(&mut sql, file, &parameters(file, 0, session));
        }
        growing.batch_execute(&insert_others(50_000)).unwrap();
        let session = others(&mut sql, 2)[1];
        for file in &files {
            for (_, variant) in variants(file, &[]).into_iter().filter(|(rows, _)| *rows == FEW) {
                let (is_executed, fetched) = execute(&mut sql, file, &parameters(file, variant, session));
                assert!(is_executed && fetched < 100, "{small}, {file} ({variant}): {fetched} buffers");
            }
        }
    }
}

#[test]
fn a_sweep_that_finds_nothing_costs_the_same_with_any_number_of_sessions() {
    for analyzed in [Analyzed::Never, Analyzed::Before, Analyzed::After] {
        let schema = migrate();
        let (mut sql, mut growing, mut stored) = (connect(&schema), schema.client(), 0);
        for (file, parameters) in [("sweeper/sweep.sql", 5), ("sweeper/overdue.sql", 2)] {
            let statement = fs::read_to_string(folder().join(file)).unwrap();
            let costs = LENGTHS.map(|count| {
                // Sessions that were used since, and have timeouts of their own, so that each index has all of them.
                if stored < count {
                    let rows = format!(
                        "INSERT INTO sessions (id, sealed, created_hour, idle_timeout_seconds)
                         SELECT gen_random_uuid(), '', (extract(epoch FROM now()) / 3600)::integer - 100, 3600 + number
                         FROM generate_series({stored} + 1, {count}) AS number"
                    );
                    growing.batch_execute(&rows).unwrap();
                    stored = count;
                }
                if analyzed == Analyzed::After || (analyzed == Analyzed::Before && count == LENGTHS[0]) {
                    growing
                        .batch_execute("ANALYZE sessions; ANALYZE messages; ANALYZE reports; ANALYZE turns")
                        .unwrap();
                }
                let of_sweep = [long(604_800), long(2_592_000), integer(200), long(1_000), long(1 << 21)];
                let parameters: Parameters = of_sweep.into_iter().take(parameters).collect();
                explain(&mut sql.transaction().unwrap(), file, &statement, &parameters)
            });
            println!("{file}, analyzed: {analyzed:?}: {costs:?}");
            assert!(costs.iter().all(|cost| cost.buffers <= 24), "{file}, analyzed: {analyzed:?}: {costs:?}");
        }
    }
}

fn compare_lengths(analyzed: Analyzed) {
    let schema = seed(analyzed);
    let mut sql = connect(&schema);
    let others = others(&mut sql, 15);
    for file in statements_of_sessions() {
        let statement = fs::read_to_string(folder().join(&file)).unwrap();
        // Alone, and where the statement takes several sessions, in the middle of others.
        let batches: &[&[Uuid]] = if takes_several(&file) { &[&[], &others] } else { &[&[]] };
        for others in batches {
            let case = format!("{file} beside {} others, analyzed: {analyzed:?}", others.len());
            for (rows, variant) in variants(&file, others) {
                let costs = LENGTHS.map(|length| {
                    // The least of three: other tests use the machine.
                    let cost = |_| {
                        let mut transaction = sql.transaction().unwrap();
                        let parameters = parameters(&file, length, rows, others).swap_remove(variant);
                        explain(&mut transaction, &file, &statement, &parameters)
                    };
                    (0..3).map(cost).min_by(|one, other| one.milliseconds.total_cmp(&other.milliseconds)).unwrap()
                });
                let case = format!("{case}, {rows} rows ({variant})");
                println!("{case}: {costs:?}");
                if is_deletion(&file) {
                    assert_linear(&case, costs);
                } else {
                    assert_constant(&case, rows, if rows == FEW { &costs } else { &costs[1..] });
                }
            }
        }
    }
}

/// Each combination of a number of rows with the index of one of the statement's parameters.
fn variants(file: &str, others: &[Uuid]) -> Vec<(i32, usize)> {
    let of_rows = |rows| (0..parameters(file, LENGTHS[0], rows, others).len()).map(move |variant| (rows, variant));
    [FEW, MANY].into_iter().flat_map(of_rows).collect()
}

/// The shortest session comes first. In a longer one each of the rows may be in a page of its own.
fn assert_constant(case: &str, rows: i32, costs: &[Cost]) {
    for cost in costs {
        assert!(cost.buffers <= 2 * costs[0].buffers + i64::from(rows) + 32, "{case}: {costs:?}");
        assert!(cost.milliseconds <= 3.0 * costs[0].milliseconds + 5.0, "{case}: {costs:?}");
    }
}

/// Deleting costs by the length of the session, and the same for each message.
fn assert_linear(case: &str, costs: [Cost; 3]) {
    let per_message = |index: usize| costs[index].buffers / i64::from(LENGTHS[index]);
    assert!((1..3).all(|index| per_message(index) <= 2 * per_message(0)), "{case}: {costs:?}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

/// All statements on the tables of sessions, as `folder/file`.
fn statements_of_sessions() -> Vec<String> {
    let mut statements = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Migrations run once, and the statements on the schema and of the sweeper take no session.
        if ["citus", "migrations", "schema", "sweeper"].contains(&name.as_str()) {
            continue;
        }
        for file in fs::read_dir(folder().join(&name)).unwrap() {
            statements.push(format!("{name}/{}", file.unwrap().file_name().to_str().unwrap()));
        }
    }
    statements.sort();
    statements
}

fn is_deletion(file: &str) -> bool {
    file.starts_with("sessions/delete") || file.starts_with("sessions/erase")
}

fn takes_several(file: &str) -> bool {
    file.ends_with("_many.sql") || file == "turns/watch.sql"
}

fn typed(parameters: &Parameters) -> Vec<(&(dyn ToSql + Sync), Type)> {
    parameters.iter().map(|(value, of_type)| (&**value, of_type.clone())).collect()
}

/// Executes a statement as the service does, unnamed with typed parameters, and rolls it back.
fn explain(transaction: &mut Transaction<'_>, file: &str, statement: &str, parameters: &Parameters) -> Cost {
    let fetched_before = blocks_fetched(transaction);
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}");
    let rows = transaction.query_typed(&explain, &typed(parameters)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let Json(explained) = rows[0].get(0);
    let explained = &explained[0];
    assert!(explained["JIT"].is_null(), "{file} is compiled, as it would be in large tables");
    let count = |name: &str| explained["Plan"][name].as_i64().unwrap();
    let mut buffers = count("Shared Hit Blocks") + count("Shared Read Blocks");
    if is_deletion(file) {
        // EXPLAIN does not count the buffers of triggers, and so of the foreign keys that cascade.
        buffers = blocks_fetched(transaction) - fetched_before;
    }
    Cost { buffers, milliseconds: explained["Execution Time"].as_f64().unwrap() }
}

/// The buffers of this connection in the tables and indexes of the schema, since some time before.
fn blocks_fetched(transaction: &mut Transaction<'_>) -> i64 {
    let fetched = "SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::bigint FROM pg_class
                   WHERE relnamespace = current_schema()::regnamespace";
    transaction.query_one(fetched, &[]).unwrap().get(0)
}

/// A column of the type `json`.
struct Json(Value);

impl<'a> FromSql<'a> for Json {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Json, Box<dyn Error + Sync + Send>> {
        Ok(Json(serde_json::from_slice(raw)?))
    }

    fn accepts(of_type: &Type) -> bool {
        *of_type == Type::JSON
    }
}

/// A schema with a session of each length and many others. The rows of a session are scattered over the table.
fn seed(analyzed: Analyzed) -> Schema {
    let schema = migrate();
    let mut sql = schema.client();
    sql.batch_execute(&insert_others(OTHERS)).unwrap();
    if analyzed == Analyzed::Before {
        sql.batch_execute("ANALYZE sessions; ANALYZE messages; ANALYZE reports; ANALYZE turns").unwrap();
    }
    // Each session has a claim, whose id is that of the session.
    sql.batch_execute("INSERT INTO turns SELECT id, 1, id, now() FROM sessions").unwrap();
    for length in LENGTHS {
        let session = session(length);
        let rows = format!(
            "INSERT INTO sessions VALUES ('{session}', '');
             INSERT INTO messages
             SELECT '{session}', position, ('00000000-0000-4000-8000-' || lpad(position::text, 12, '0'))::uuid,
                decode(repeat('00', {SEALED_BYTES}), 'hex'), position * {SEALED_BYTES}
             FROM generate_series(1, {length}) AS position ORDER BY random();
             INSERT INTO turns VALUES ('{session}', {length}, '{session}', now());
             INSERT INTO reports
             SELECT '{session}', position, ('00000000-0000-4000-8000-' || lpad(position::text, 12, '0'))::uuid,
                decode(repeat('00', {SEALED_BYTES}), 'hex')
             FROM generate_series(1, 2) AS position;"
        );
        sql.batch_execute(&rows).unwrap();
    }
    if analyzed == Analyzed::After {
        sql.batch_execute("ANALYZE sessions; ANALYZE messages; ANALYZE reports; ANALYZE turns").unwrap();
    }
    schema
}

/// A connection as the service opens it.
fn connect(schema: &Schema) -> Client {
    let config = configure(&schema.url(), &[]);
    let Database::Server(server) = &config.database else { panic!("a private PostgreSQL") };
    let mut sql = Connector::new(server, &config.pool, config.pool.query_timeout).unwrap().connect().unwrap();
    // Where statements may be compiled, all of them are.
    sql.batch_execute("SET jit_above_cost = 0").unwrap();
    sql
}

/// A schema whose statistics nothing but a test changes.
fn migrate() -> Schema {
    let schema = Schema::on_one_server();
    app::migrate(&configure(&schema.url(), &[]), &AtomicBool::new(false)).unwrap();
    let settings = "ALTER TABLE sessions SET (autovacuum_enabled = off);
                    ALTER TABLE messages SET (autovacuum_enabled = off);
                    ALTER TABLE reports SET (autovacuum_enabled = off);
                    ALTER TABLE turns SET (autovacuum_enabled = off)";
    schema.client().batch_execute(settings).unwrap();
    schema
}

/// Inserts sessions with one message each.
fn insert_others(count: i32) -> String {
    format!(
        "WITH others AS (
             INSERT INTO sessions SELECT gen_random_uuid(), '' FROM generate_series(1, {count}) RETURNING id
         )
         INSERT INTO messages
         SELECT id, 1, gen_random_uuid(), decode(repeat('00', {SEALED_BYTES}), 'hex'), {SEALED_BYTES} FROM others"
    )
}

/// Some sessions with one message each.
fn others(sql: &mut Client, count: i64) -> Vec<Uuid> {
    let others = "SELECT session_id FROM messages GROUP BY 1 HAVING count(*) = 1 ORDER BY 1 LIMIT $1";
    sql.query(others, &[&count]).unwrap().iter().map(|row| row.get(0)).collect()
}
