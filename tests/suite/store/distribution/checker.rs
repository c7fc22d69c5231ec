//! Finds why Citus would not execute a statement on one shard, or not at all. It knows the forms that `sql/` uses, not all of SQL.

/// The tables of sessions, and the column by which each is distributed.
const TABLES: [(&str, &str); 4] =
    [("sessions", "id"), ("messages", "session_id"), ("reports", "session_id"), ("turns", "session_id")];

/// Words between which a condition is.
const CLAUSES: [&str; 9] = ["FROM", "JOIN", "LEFT", "CROSS", "ON", "WHERE", "GROUP", "ORDER", "RETURNING"];

/// The text of a query without that of its parentheses, which are queries of their own here.
#[derive(Default)]
struct Query {
    words: Vec<String>,
    inner: Vec<Query>,
}

/// Why the statement does not distribute; `None` where it does. With `all_shards` it reads rows of any session.
pub(super) fn fault(text: &str, all_shards: bool) -> Option<String> {
    let words = words(text);
    let query = parse(&mut words.iter().map(String::as_str));
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    if all_shards {
        return if ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| changes(&query, verb)) {
            Some("it does not only read".to_owned())
        } else if locks(&query) {
            Some("a lock: Citus locks rows of one shard only".to_owned())
        } else if has("OVER") {
            Some("a window: each shard has its own".to_owned())
        } else if has("LATERAL") {
            Some("LATERAL: Citus has no LIMIT for each row of another table".to_owned())
        } else {
            None
        };
    }
    if has("unnest") || has("ANY") {
        return Some("several sessions, which have several shards".to_owned());
    }
    of_query(&query, true)
}

/// Words, numbers and symbols, without comments. A parameter is one word with its type.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for line in text.lines() {
        let line = line.split("--").next().unwrap_or_default();
        for character in line.chars().chain(['\n']) {
            if character.is_alphanumeric() || "_.$:[]".contains(character) {
                words.last_mut().unwrap().push(character);
                continue;
            }
            if !character.is_whitespace() {
                words.push(character.to_string());
            }
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Query {
    let mut query = Query::default();
    while let Some(word) = words.next() {
        match word {
            "(" => {
                query.words.push("()".to_owned());
                query.inner.push(parse(words));
            }
            ")" => break,
            word => query.words.push(word.to_owned()),
        }
    }
    query
}

fn changes(query: &Query, verb: &str) -> bool {
    query.words.first().is_some_and(|word| word == verb) || query.inner.iter().any(|inner| changes(inner, verb))
}

fn locks(query: &Query) -> bool {
    let of_query =
        query.words.windows(2).any(|pair| pair[0] == "FOR" && ["UPDATE", "NO", "KEY", "SHARE"].contains(&&*pair[1]));
    of_query || query.inner.iter().any(locks)
}

fn of_query(query: &Query, is_outermost: bool) -> Option<String> {
    let verb = query.words.first().map(String::as_str).unwrap_or_default();
    if !is_outermost && ["INSERT", "UPDATE", "DELETE"].contains(&verb) {
        return Some("a change within another statement, which Citus executes through the coordinator".to_owned());
    }
    let conflict = query.words.windows(2).position(|pair| pair == ["ON", "CONFLICT"]);
    let (words, after_conflict) = query.words.split_at(conflict.unwrap_or(query.words.len()));
    if after_conflict.contains(&"now".to_owned()) {
        return Some("now() in ON CONFLICT, where Citus wants immutable functions".to_owned());
    }
    if verb == "INSERT"
        && let Some(reason) = of_insert(query, words)
    {
        return Some(reason);
    }
    let of_parts = words.split(|word| word == "UNION").find_map(of_tables);
    of_parts.or_else(|| query.inner.iter().find_map(|inner| of_query(inner, false)))
}

/// Whether the row that is inserted is of the session `$1`.
fn of_insert(query: &Query, words: &[String]) -> Option<String> {
    // INSERT INTO table () VALUES (), or INSERT INTO table () SELECT …
    let table = words.get(2)?;
    let (_, column) = TABLES.iter().find(|(name, _)| name == table)?;
    let first = |index: usize| query.inner.get(index).and_then(|inner| inner.words.first()).map(String::as_str);
    if first(0) != Some(column) {
        return Some(format!("{column} is not the first column"));
    }
    match words.get(4).map(String::as_str) {
        Some("VALUES") if first(1) == Some("$1::uuid") => None,
        Some("VALUES") => Some("the first value is not $1::uuid".to_owned()),
        _ if words.get(5).is_none_or(|word| word != "id") || !words.contains(&"FROM".to_owned()) => {
            Some("its first value is not id of the session that it selects".to_owned())
        }
        _ if locks(query) => Some("a lock in an INSERT … SELECT".to_owned()),
        _ => None,
    }
}

/// Whether each table in this part of a query has the condition that its rows are of the session `$1`.
fn of_tables(words: &[String]) -> Option<String> {
    let is_place = |word: &str| ["FROM", "JOIN", "UPDATE", "USING", ","].contains(&word);
    let mut tables = Vec::new();
    for (index, pair) in words.windows(2).enumerate() {
        if let Some((name, column)) = TABLES.iter().find(|(name, _)| is_place(&pair[0]) && pair[1] == *name) {
            let alias = words.get(index + 2).filter(|word| *word == "AS").and(words.get(index + 3));
            tables.push((*name, *column, alias.map_or(*name, String::as_str)));
        }
    }
    for (name, column, alias) in &tables {
        let qualified = format!("{alias}.{column}");
        let is_alone = tables.len() == 1;
        let is_condition = |part: &[String]| {
            (part[0] == qualified || (is_alone && part[0] == *column)) && part[1] == "=" && part[2] == "$1::uuid"
        };
        let Some(index) = words.windows(3).position(is_condition) else {
            let wanted = if is_alone { (*column).to_owned() } else { qualified };
            return Some(format!("{name} without {wanted} = $1::uuid in the same query"));
        };
        let begin = words[..index].iter().rposition(|word| CLAUSES.contains(&word.as_str())).unwrap_or(0);
        let clause = words[begin + 1..].iter().take_while(|word| !CLAUSES.contains(&word.as_str()));
        if clause.into_iter().any(|word| word == "OR") {
            return Some("an OR beside the condition on the session".to_owned());
        }
    }
    None
}
