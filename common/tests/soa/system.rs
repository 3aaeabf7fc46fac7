//! The schema of the system configuration and what reads it refuse the same.

use std::{collections::BTreeSet, fs, path::Path};

use paasta_common::{
    config::{SYSTEM, SystemConfig},
    soa::{table::schema, yaml},
};
use serde_json::{Value, json};

/// What keys of PaaSTA say that mean nothing here.
const FOREIGN: &str = "Of PaaSTA; does nothing here.";

fn document() -> Value {
    serde_json::from_str(&schema::document(&SYSTEM, "system configuration")).unwrap()
}

/// Every key of ours below a schema, with its path and its own schema.
fn keys(schema: &Value, above: &[String], found: &mut Vec<(Vec<String>, Value)>) {
    let schema = schema.pointer("/anyOf/0").unwrap_or(schema);
    for (key, own) in schema["properties"].as_object().into_iter().flatten() {
        if own["description"] == FOREIGN {
            continue;
        }
        let path = [above, std::slice::from_ref(key)].concat();
        found.push((path.clone(), own.clone()));
        keys(own, &path, found);
        let items = own["items"].as_object().map(|_| &own["items"]);
        let entries = own["additionalProperties"].as_object();
        let below = entries.map(|_| &own["additionalProperties"]);
        for (step, below) in items
            .map(|one| ("[]", one))
            .into_iter()
            .chain(below.map(|one| ("a", one)))
        {
            keys(below, &[&path[..], &[step.to_owned()]].concat(), found);
        }
    }
}

fn every_key() -> Vec<(Vec<String>, Value)> {
    let mut found = Vec::new();
    keys(&document(), &[], &mut found);
    assert!(found.len() > 70, "{}", found.len());
    found
}

/// A file in which the value stands at the path.
fn file(path: &[String], value: Value) -> Value {
    path.iter()
        .rev()
        .fold(value, |value, step| match step.as_str() {
            "[]" => json!([value]),
            key => json!({ key: value }),
        })
}

/// Values that such a schema must refuse: of another type, out of its bounds, not of its form.
fn wrong(schema: &Value) -> Vec<Value> {
    if let Some(allowed) = schema.pointer("/anyOf/1/type").filter(|one| *one == "null") {
        assert!(allowed.is_string());
        return wrong(&schema["anyOf"][0]);
    }
    let beyond = |key: &str, by: f64| schema[key].as_f64().map(|bound| json!(bound + by));
    let whole = |key: &str, by: i64| schema[key].as_i64().map(|bound| json!(bound + by));
    let mut wrong = match schema["type"].as_str() {
        Some("boolean") => vec![json!(5), json!("x")],
        Some("integer") => vec![json!("x"), json!(1.5)],
        Some("number") => vec![json!("x"), json!(true)],
        Some("string") => vec![json!(5), json!(["x"])],
        Some("array") => vec![json!("x"), json!({"a": 1})],
        Some("object") => vec![json!("x"), json!(["x"])],
        _ => vec![json!(5), json!(["x"]), json!("nonsense")],
    };
    match schema["type"].as_str() {
        Some("integer") => {
            wrong.extend(whole("minimum", -1).into_iter().chain(whole("maximum", 1)));
        }
        Some("number") => {
            let low = beyond("minimum", -0.01).or_else(|| beyond("exclusiveMinimum", 0.0));
            wrong.extend(low.into_iter().chain(beyond("maximum", 1.0)));
        }
        Some("string") if schema["pattern"].is_string() => wrong.push(json!("")),
        Some("string") if schema["anyOf"].is_array() => wrong.push(json!("ten")),
        Some("array") => {
            let item = schema.pointer("/items/0").unwrap_or(&schema["items"]);
            wrong.extend(self::wrong(item).into_iter().map(|one| json!([one])));
        }
        Some("object") if schema["additionalProperties"] == false => {
            wrong.push(json!({"no_such_key": 1}));
        }
        Some("object") => {
            let below = self::wrong(&schema["additionalProperties"]);
            wrong.extend(below.into_iter().map(|one| json!({"a": one})));
        }
        _ => {}
    }
    wrong
}

/// Whether the schema takes it, and what the reader has to say.
fn judged(documents: &[Value]) -> Vec<(bool, Vec<String>)> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("paasta.json", document()).unwrap();
    let compiled = compiler.compile("paasta.json", &mut schemas).unwrap();
    let judge = |document: &Value| {
        let root = yaml::parse("p.yaml", &document.to_string()).unwrap();
        let (_, problems) = SystemConfig::decode(&root);
        let said = problems.iter().map(ToString::to_string).collect();
        (schemas.validate(document, compiled).is_ok(), said)
    };
    documents.iter().map(judge).collect()
}

#[test]
fn what_is_wrong_is_refused_by_both_for_every_key() {
    let mut documents = vec![json!({"no_such_key": 1}), json!({"clustr": "a"})];
    for (path, schema) in every_key() {
        let before = documents.len();
        documents.extend(wrong(&schema).into_iter().map(|one| file(&path, one)));
        assert!(documents.len() > before + 1, "{path:?}");
    }
    assert!(documents.len() > 250, "{}", documents.len());
    for (document, (valid, problems)) in documents.iter().zip(judged(&documents)) {
        assert!(!valid, "the schema takes {document}");
        assert!(!problems.is_empty(), "the reader takes {document}");
    }
}

#[test]
fn what_is_right_is_taken_by_both() {
    let mut documents = vec![
        json!({}),
        json!({"sensu_host": null, "agent": null, "zookeeper": "zk://a", "slack": {"a": [1]}}),
        json!({"deploy_whitelist": ["region", ["us", "eu"]], "deploy_blacklist": [["a", "b"]]}),
        json!({"volumes": [{"hostPath": "/a", "containerPath": "/b", "mode": "RW"}]}),
        json!({"allowed_extra_volumes": ["/", "/a/b", "/a/./b", "/..a"]}),
        json!({"expected_slave_attributes": [{"region": "a"}, {}]}),
        json!({"pools": {"batch": {"overcommit": {"cpus": 2, "mem": 0.8}}, "gpu": {}}}),
        json!({"alerts": {"command": ["/bin/a", "b"], "webhook": "http://a:1/b?c"}}),
        json!({"alerts": {"command": []}, "cli": {"clusters": {"a_b": ["h:1"]}}}),
        json!({"agent": {"dns": ["10.0.0.1", "::1"], "port_range": [5, 5], "cpus": 0.5}}),
        json!({"agent": {"host_id": "a.b-c_d", "attributes": {"region": "x"}}}),
        json!({"agent": {"http_listen": false}, "coordinator": {"http_listen": "off"}}),
        json!({"agent": {"http_listen": "[::1]:0"}, "docker_registry": "[::1]:5000/a/b-c/"}),
        json!({"docker_registry": "Reg.example.com:443"}),
        json!({"docker_registry": "acme_1"}),
        json!({"allowed_cap_add": ["CAP_SYS_NICE", "BPF"], "allow_host_network": true}),
        json!({"max_shm_size_mb": 1, "max_ulimits": {"nofile": -1, "core": 0}}),
    ];
    for (path, schema) in every_key() {
        if let Some(default) = schema.get("default") {
            documents.push(file(&path, default.clone()));
        }
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    for shipped in fs::read_dir(directory).unwrap() {
        let text = fs::read_to_string(shipped.unwrap().path()).unwrap();
        documents.push(yaml::parse("shipped", &text).unwrap().to_json());
    }
    for (document, (valid, problems)) in documents.iter().zip(judged(&documents)) {
        assert!(valid, "the schema refuses {document}");
        assert_eq!(problems, Vec::<String>::new(), "{document}");
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read_and_no_others() {
    let section = |path: &[String]| path.len() == 1 || SystemConfig::keys().contains(&path[0]);
    let shown: BTreeSet<String> = every_key()
        .into_iter()
        .filter(|(path, _)| path.len() < 3 && section(path))
        .map(|(path, _)| path.join("."))
        .collect();
    assert_eq!(shown, SystemConfig::keys().into_iter().collect());
}

#[test]
fn every_key_says_what_it_means_with_its_unit_and_its_default() {
    for (path, schema) in every_key() {
        let key = path.join(".");
        let about = schema["description"].as_str().unwrap();
        if path.contains(&"[]".to_owned()) || (path.len() > 2 && path[1] == "tls") {
            // The fields of a mount, and the files of TLS, must all be given.
            continue;
        }
        let default = schema.get("default").is_some() || about.contains("Default: ");
        assert!(about.len() > 10 && default, "{key}: {about}");
        for (ending, unit) in [
            ("_seconds", "Seconds"),
            ("_ms", "Milliseconds"),
            ("_mb", "MiB"),
            ("_bytes", "Bytes"),
            ("_percent", "percentage"),
        ] {
            assert!(
                !key.ends_with(ending) || about.contains(unit),
                "{key}: {about}"
            );
        }
    }
}
