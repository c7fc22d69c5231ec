//! The OpenAPI description, its page, `.env.example`, README and documents agree with the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use safespace::api::routes::ROUTES;
use safespace::config::VARIABLES;
use serde_json::Value;

use crate::support::app::TestApp;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn the_description_has_exactly_the_routes() {
    let document = safespace::api::openapi::describe();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let served = ROUTES.iter().map(|route| (route.method.to_owned(), route.pattern.to_owned())).collect();
    assert_eq!(described, served);
}

#[test]
fn the_description_is_openapi_3_1_with_descriptions_examples_and_errors() {
    let app = TestApp::start();
    let document = app.client.get("/openapi.json").assert_status(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut operation_ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(
                operation_ids.insert(id),
                "{id} names two operations, and generators make one method for each name"
            );
            let place = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                let is_form = path == "/api/v1/exit" || method == "post" && path.starts_with("/page/");
                let is_page = is_form && status != "default";
                let own = is_page || (status == "503" && path == "/health/db");
                assert_eq!(
                    problem == "#/components/schemas/Problem",
                    status.as_str() >= "400" && !own,
                    "{place} {status}"
                );
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{place} {status}");
                assert!(response["headers"]["X-Request-Id"].is_object(), "{place} {status}");
            }
            assert!(operation["responses"]["500"].is_object(), "{place}");
        }
    }
    let sessions = &document["paths"]["/api/v1/sessions/{session_id}"];
    let statuses =
        |method: &str| sessions[method]["responses"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(statuses("get"), ["200", "404", "422", "500", "503", "504", "default"]);
    assert_eq!(statuses("delete"), ["200", "204", "403", "404", "422", "500", "503", "504", "default"]);
    let session = &document["components"]["schemas"]["Session"];
    let required = ["session_id", "recovery_code", "created_at", "expires_at", "idle_timeout_seconds"];
    assert_eq!(session["required"], serde_json::json!(required));
    assert_eq!(session["properties"]["session_id"]["format"], "uuid");
    assert!(
        session["properties"]["created_at"]["examples"].is_array()
            || session["properties"]["created_at"]["example"].is_string()
    );
}

#[test]
fn every_reference_in_the_description_resolves() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = safespace::api::openapi::describe();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[test]
fn every_response_with_a_body_in_the_description_has_an_example() {
    let document = safespace::api::openapi::describe();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let contents = response["content"].as_object().into_iter().flatten();
                for (media_type, content) in contents {
                    let examples = content["examples"].as_object().map_or(0, serde_json::Map::len);
                    let has_one = examples > 0 || !content["example"].is_null();
                    assert!(has_one, "{method} {path} {status} {media_type}");
                    for (name, example) in content["examples"].as_object().into_iter().flatten() {
                        let value = &example["value"];
                        let of_status = value["status"].as_u64() == status.parse().ok() || status == "default";
                        assert!(of_status, "{method} {path} {status} {name}: {value}");
                        let detail = value["detail"].as_str().unwrap();
                        assert!(!detail.contains(['{', '}']), "{method} {path} {status} {name}: {detail}");
                    }
                }
            }
        }
    }
    let chat = &document["paths"]["/api/v1/sessions/{session_id}/chat"]["post"];
    let problem = "/content/application~1problem+json/examples";
    let examples = |status: &str| {
        let examples = chat["responses"][status].pointer(problem).unwrap();
        examples.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(examples("429"), ["network_limited", "rate_limited"]);
    let unavailable =
        ["answer_timeout", "database_refuses", "database_unavailable", "no_answer", "overloaded", "storage_full"];
    assert_eq!(examples("503"), unavailable);
}

#[test]
fn the_description_has_enums_optional_headers_and_the_data_of_events() {
    let document = safespace::api::openapi::describe();
    let timeout = &document["components"]["schemas"]["IdleTimeoutRequest"]["properties"]["idle_timeout_seconds"];
    assert_eq!(timeout["type"], serde_json::json!(["integer", "null"]), "null goes back to the timeout of the service");
    assert_eq!(document.to_string().matches("\"null\"").count(), 5, "generated clients would send null");
    let schemas = &document["components"]["schemas"];
    for (schema, values) in [
        ("Author", serde_json::json!(["user", "model"])),
        ("Source", serde_json::json!(["companion", "script"])),
        ("DatabaseStatus", serde_json::json!(["healthy", "unhealthy"])),
        ("ProcessStatus", serde_json::json!(["live", "ready"])),
    ] {
        assert_eq!(schemas[schema]["enum"], values, "{schema}");
    }
    assert_eq!(schemas["Problem"]["properties"]["code"]["$ref"], "#/components/schemas/Code");
    let events: Vec<&String> = schemas["ChatEvents"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(events, ["error", "message.delta", "message.end", "message.reset", "message.start", "safety"]);
    let send = &document["paths"]["/api/v1/sessions/{session_id}/chat"]["post"];
    let create = &document["paths"]["/api/v1/sessions"]["post"];
    for parameter in [&send["parameters"][1], &create["parameters"][0]] {
        assert_eq!((&parameter["in"], &parameter["schema"]["type"]), (&"header".into(), &"string".into()));
        assert_ne!(parameter["required"], true);
    }
}

#[test]
fn every_code_is_explained_by_the_service_and_in_the_documents() {
    let app = TestApp::start();
    let page = app.client.get("/docs/errors").assert_status(200);
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(page.header("Content-Security-Policy").unwrap().starts_with("default-src 'none'"));
    let (page, document) = (page.text(), read("docs/errors.md"));
    assert!(page.contains("a proxy must keep <code>Host</code>.") && !page.contains('`'), "{page}");
    assert!(page.contains("Words in braces stand for values."));
    let texts: toml::Table = toml::from_str(&read("src/api/problems.toml")).unwrap();
    let description = safespace::api::openapi::describe();
    for (schema, table) in [("Code", "problems"), ("FieldCode", "fields")] {
        let codes = description["components"]["schemas"][schema]["enum"].as_array().unwrap();
        assert_eq!(codes.len(), texts[table].as_table().unwrap().len(), "a text without a code");
        for code in codes.iter().map(|code| code.as_str().unwrap()) {
            let entry = &texts[table][code];
            assert!(page.contains(&format!("id=\"{code}\"")), "{code} is not on the page");
            let row = match table {
                "problems" => format!(
                    "| `{code}` | {} | {} |",
                    entry["status"].as_integer().unwrap(),
                    entry["client"].as_str().unwrap()
                ),
                _ => format!(
                    "| `{code}` | {} {} |",
                    entry["field"].as_str().unwrap(),
                    entry["message"]["en"].as_str().unwrap()
                ),
            };
            assert!(document.contains(&row), "not in docs/errors.md:\n{row}");
        }
    }
}

#[test]
fn the_page_loads_only_its_own_assets() {
    let app = TestApp::start();
    let page = app.client.get("/docs").assert_status(200);
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(page.header("Content-Security-Policy").unwrap().starts_with("default-src 'none'"));
    let page = page.text();
    assert!(!page.contains("//"), "an address in the page: {page}");
    let assets: Vec<&str> = page.split('"').filter(|text| text.starts_with("docs/")).collect();
    assert_eq!(assets.len(), 4);
    for asset in assets {
        let answer = app.client.get(&format!("/{asset}")).assert_status(200);
        let expected = match asset.rsplit('.').next().unwrap() {
            "css" => "text/css",
            "js" => "text/javascript",
            _ => "image/png",
        };
        assert!(answer.header("Content-Type").unwrap().starts_with(expected), "{asset}");
        assert!(!answer.body.is_empty());
    }
    app.client.get("/docs/nothing.js").assert_problem(404);
}

#[test]
fn env_example_has_every_variable_with_its_default_and_meaning() {
    let text = read(".env.example");
    let mut rest = text.as_str();
    for variable in VARIABLES {
        let entry = format!("# {}\n#{}={}\n", variable.meaning, variable.name, variable.default);
        let place = rest.find(&entry).unwrap_or_else(|| panic!("not in .env.example, or not in its order:\n{entry}"));
        rest = &rest[place + entry.len()..];
    }
    let entries = text.lines().filter(|line| line.starts_with('#') && !line.starts_with("# ") && line.contains('='));
    assert_eq!(entries.count(), VARIABLES.len(), "a variable that the code does not have");
}

#[test]
fn the_readme_has_a_row_for_every_variable() {
    let text = read("README.md");
    for variable in VARIABLES {
        let default = if variable.default.is_empty() { String::new() } else { format!("`{}`", variable.default) };
        let row = format!("| `{}` | {default} | {} |", variable.name, variable.meaning).replace("|  |", "| |");
        assert!(text.contains(&row), "not in README.md:\n{row}");
    }
}

#[test]
fn every_link_of_the_documents_names_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md")];
    let files = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(files.filter(|file| file.extension().is_some_and(|name| name == "md")));
    let mut links = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            if !target.is_empty() && !target.contains("://") {
                let path = document.parent().unwrap().join(target);
                assert!(path.exists(), "{} links to {target}", document.display());
                links += 1;
            }
        }
    }
    assert!(links > 5, "{links} links");
}
