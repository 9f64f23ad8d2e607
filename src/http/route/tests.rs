use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn is_found(method: &Method, path: &str) -> bool {
    matches!(find(method, path, true), Ok(Found::Route { .. }))
}

#[test]
fn each_row_is_reached_by_its_methods_and_allow_names_exactly_these() {
    for route in ROUTES {
        for path in route.paths {
            let concrete = path.replace("{topic}", "ops.db").replace("{id}", "k1").replace("{file}", "x");
            for method in route.methods {
                let Ok(Found::Route { route: found, .. }) = find(method, &concrete, true) else {
                    panic!("{method} {concrete} is not found")
                };
                assert!(std::ptr::eq(found, route), "{method} {concrete} leads to {:?}", found.paths);
            }
            let Ok(Found::Options { allow }) = find(&Method::OPTIONS, &concrete, true) else { panic!("{concrete}") };
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
                let is_allowed = allow.split(", ").any(|one| one == method.as_str());
                assert_eq!(is_found(&method, &concrete), is_allowed, "{method} {concrete}");
            }
        }
    }
}

#[test]
fn allow_lists_methods_in_one_order() {
    let allow_of = |path| match find(&Method::OPTIONS, path, true) {
        Ok(Found::Options { allow }) => allow,
        _ => panic!("{path}"),
    };
    assert_eq!(allow_of("/alerts"), "GET, HEAD, PUT, POST, OPTIONS");
    assert_eq!(allow_of("/keys/a"), "DELETE, OPTIONS");
    assert_eq!(allow_of("*"), "GET, HEAD, PUT, POST, DELETE, OPTIONS");
}

#[test]
fn without_documentation_its_paths_are_absent_for_every_method() {
    for method in [Method::GET, Method::OPTIONS, Method::PUT] {
        for path in ["/docs", "/docs/docs.js", "/openapi.json"] {
            assert!(matches!(find(&method, path, false), Err(HttpError::NoDocumentation(_))), "{method} {path}");
        }
    }
    assert!(find(&Method::GET, "/alerts", false).is_ok());
}

#[test]
fn unknown_paths_are_not_found() {
    for path in [
        "//",
        "/page",
        "/page/",
        "/docs/",
        "/openapi",
        "/page/a/b",
        "/alerts/",
        "/alerts/a/b/c",
        "/Alerts",
        "/alert",
        "//alerts",
        "/keys/",
        "/keys/a/b",
        "/hooks",
        "/hooks/other",
        "*",
    ] {
        assert!(matches!(find(&Method::GET, path, true), Err(HttpError::NotFound(_))), "{path}");
    }
}

#[test]
fn the_variable_part_of_a_path_is_its_argument() {
    for (path, expected) in
        [("/alerts/ops.db", [Some("ops.db"), None]), ("/incidents/ops/a%2Fb", [Some("ops"), Some("a%2Fb")])]
    {
        let Ok(Found::Route { arguments, .. }) = find(&Method::GET, path, true) else { panic!() };
        assert_eq!(arguments, expected);
    }
}

#[test]
fn only_a_key_with_publish_or_a_signature_reaches_a_handler_that_may_publish() {
    for route in ROUTES.iter().filter(|route| route.methods.contains(&Method::POST)) {
        let publishes = ["/alerts", "/hooks", "/ntfy", "/incidents", "/prometheus"]
            .iter()
            .any(|prefix| route.paths[0].starts_with(prefix));
        assert_eq!(publishes, [Key(Publish), Signature].contains(&route.access), "{:?}", route.paths);
    }
}

#[test]
fn the_document_has_each_path_and_method_of_the_table_and_describes_variables() {
    let document = openapi::document(described());
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    });
    let mut number = 0;
    for (path, method, operation) in operations {
        number += 1;
        let is_row = |route: &&Route| {
            route.paths.contains(&path.as_str())
                && route.methods.iter().any(|own| own.as_str().eq_ignore_ascii_case(method))
        };
        assert_eq!(ROUTES.iter().filter(is_row).count(), 1, "{method} {path}");
        let parameters = operation["parameters"].as_array().unwrap();
        assert_eq!(parameters.iter().any(|one| one["in"] == "path"), path.contains('{'), "{method} {path}");
    }
    assert_eq!(number, ROUTES.iter().map(|route| route.paths.len() * route.methods.len()).sum::<usize>());
}

/// Each `$ref` without a target.
fn dangling<'v>(value: &'v Value, whole: &Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(name)) = members.get("$ref")
                && whole.pointer(name.strip_prefix('#').unwrap_or("/nowhere")).is_none()
            {
                found.push(name);
            }
            members.values().for_each(|member| dangling(member, whole, found));
        }
        Value::Array(items) => items.iter().for_each(|item| dangling(item, whole, found)),
        _ => {}
    }
}

#[test]
fn all_references_lead_somewhere_and_names_are_given_once() {
    let document = openapi::document(described());
    let mut wrong = Vec::new();
    dangling(&document, &document, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:?}");
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let names: Vec<_> = operations.clone().map(|one| one["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for operation in operations {
        let tag = operation["tags"][0].as_str().unwrap();
        assert!(catalogue::TAGS.iter().any(|(known, _)| *known == tag), "{tag}");
        let has_good = operation["responses"]
            .as_object()
            .unwrap()
            .keys()
            .any(|status| status.starts_with('2') || status.as_str() == "101");
        assert!(has_good, "{operation}");
    }
}

#[test]
fn each_link_gives_parameters_that_its_operation_has() {
    let document = openapi::document(described());
    let operations =
        || document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let answers = operations().flat_map(|one| one["responses"].as_object().unwrap().values());
    let links: Vec<_> = answers.filter_map(|answer| answer["links"].as_object()).flat_map(|all| all.values()).collect();
    assert!(!links.is_empty());
    for link in links {
        let target = operations().find(|one| one["operationId"] == link["operationId"]).expect("an operation");
        let known: Vec<_> = target["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert!(
            link["parameters"].as_object().unwrap().keys().all(|name| known.iter().any(|one| *one == name)),
            "{link}"
        );
    }
}

#[test]
fn the_document_names_nothing_of_the_source() {
    let text = openapi::document(described()).to_string();
    for inside in ["crate::", "[`", "Self::", "self::"] {
        assert!(!text.contains(inside), "{inside}");
    }
}
