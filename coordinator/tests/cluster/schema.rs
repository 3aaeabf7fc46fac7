//! An OpenAPI description, and what does not fit it: as much of JSON Schema as it uses.

use serde_json::{Map, Value};

pub(crate) struct Description(pub(crate) Value);

impl Description {
    /// The paths that answer with JSON when they are read.
    pub(crate) fn paths(&self) -> Vec<String> {
        let paths = self.0["paths"].as_object().expect("paths").iter();
        let read = paths.filter(|(_, methods)| methods["get"].is_object());
        read.map(|(path, _)| path.clone()).collect()
    }

    /// What of the answer does not fit what is said of the path.
    pub(crate) fn faults(&self, path: &str, answer: &Value) -> Vec<String> {
        self.faults_of(path, "get", 200, answer)
    }

    /// The same of another method, and of another code.
    pub(crate) fn faults_of(
        &self,
        path: &str,
        method: &str,
        code: u16,
        answer: &Value,
    ) -> Vec<String> {
        let answers = &self.0["paths"][path][method]["responses"][code.to_string()];
        let schema = &answers["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path} is not described");
        let mut faults = Vec::new();
        self.check(schema, answer, "", &mut faults);
        faults
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        for word in schema.as_object().expect("a schema").keys() {
            let known = [
                "$ref",
                "type",
                "description",
                "properties",
                "required",
                "additionalProperties",
                "items",
                "enum",
                "minimum",
                "minItems",
                "maxItems",
            ];
            assert!(
                known.contains(&word.as_str()),
                "the check does not know {word}"
            );
        }
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.trim_start_matches("#/components/schemas/");
            return self.check(&self.0["components"]["schemas"][name], value, at, faults);
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        let fits = |kind: &&str| match *kind {
            "null" => value.is_null(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no such type: {other}"),
        };
        assert!(!types.is_empty(), "{at}: a schema without a type");
        if !types.iter().any(fits) {
            faults.push(format!("{at}: {value} is not {types:?}"));
        }
        let least = schema["minimum"].as_f64();
        if least.is_some_and(|least| value.as_f64().is_some_and(|value| value < least)) {
            faults.push(format!("{at}: {value} is less than it may be"));
        }
        if let Some(words) = schema["enum"]
            .as_array()
            .filter(|words| !words.contains(value))
        {
            faults.push(format!("{at}: {value} is none of {words:?}"));
        }
        if let Value::Array(items) = value {
            let (least, most) = (&schema["minItems"], &schema["maxItems"]);
            let count = items.len() as u64;
            if least.as_u64().is_some_and(|least| count < least)
                || most.as_u64().is_some_and(|most| count > most)
            {
                faults.push(format!("{at}: {count} items"));
            }
            for (n, item) in items.iter().enumerate() {
                self.check(&schema["items"], item, &format!("{at}/{n}"), faults);
            }
        }
        if let Value::Object(fields) = value {
            self.check_object(schema, fields, at, faults);
        }
    }

    fn check_object(
        &self,
        schema: &Value,
        fields: &Map<String, Value>,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        let required = schema["required"].as_array().into_iter().flatten();
        let missing = required
            .filter_map(Value::as_str)
            .filter(|name| !fields.contains_key(*name));
        faults.extend(missing.map(|name| format!("{at}/{name}: missing")));
        for (name, value) in fields {
            let at = format!("{at}/{name}");
            match (
                schema["properties"].get(name),
                &schema["additionalProperties"],
            ) {
                (Some(schema), _) => self.check(schema, value, &at, faults),
                (None, Value::Bool(false)) => faults.push(format!("{at}: not described")),
                (None, more @ Value::Object(_)) => self.check(more, value, &at, faults),
                (None, _) => {}
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = serde_json::json!({"type": "object", "required": ["a", "b"], "additionalProperties": false,
        "properties": {"a": {"$ref": "#/components/schemas/A"}, "b": {"type": ["integer", "null"], "minimum": 0}}});
    let answer = serde_json::json!({"200": {"content": {"application/json": {"schema": schema}}}});
    let description = Description(serde_json::json!({
        "paths": {"/x": {"get": {"responses": answer}}},
        "components": {"schemas": {"A": {"type": "array", "items": {"type": "string", "enum": ["y"]}}}},
    }));
    let faults = |value| description.faults("/x", &value).len();
    assert_eq!(faults(serde_json::json!({"a": ["y"], "b": null})), 0);
    assert_eq!(
        faults(serde_json::json!({"a": ["y", "n", 1], "b": -1, "c": 0})),
        5
    );
    assert_eq!(faults(serde_json::json!({"a": []})), 1);
    assert_eq!(faults(serde_json::json!([])), 1);
}
