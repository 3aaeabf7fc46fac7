//! Every page of the HTTP API, with the dearest question that it answers.

use std::collections::BTreeSet;

use paasta_proto::v1;
use paasta_tests::tidy::root;
use prost::Message;

use super::scene::{INSTANCE, Scene};

/// What is not under `/v1`.
const PLAIN: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
/// Paths under `/v1`, as its description has them, with a question and the codes of its answer.
/// `SI` stands for the service and the instance, `TASK` for one of its replicas.
const PATHS: [(&str, &str, &[u16]); 12] = [
    ("/version", "/version", &[200]),
    ("/openapi.json", "/openapi.json", &[200]),
    ("/services", "/services", &[200]),
    ("/services/{service}", "/services/one", &[200]),
    (
        "/services/{service}/{instance}/status",
        "/services/SI/status?verbose=1",
        &[200],
    ),
    (
        "/services/{service}/{instance}/tasks",
        "/services/SI/tasks",
        &[200],
    ),
    (
        "/services/{service}/{instance}/tasks/{task}",
        "/services/SI/tasks/TASK",
        &[200],
    ),
    (
        "/services/{service}/{instance}/delay",
        "/services/SI/delay",
        &[200, 204],
    ),
    (
        "/services/{service}/{instance}/autoscaler",
        "/services/SI/autoscaler",
        &[404],
    ),
    (
        "/services/{service}/{instance}/marathon_app",
        "/services/SI/marathon_app",
        &[200],
    ),
    ("/metastatus", "/metastatus", &[200]),
    (
        "/resources/utilization",
        "/resources/utilization?groupings=hostname,pool",
        &[200],
    ),
];
/// Takes what git servers send, and looks at nothing.
const HOOK: &str = "/hooks/git";

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) path: String,
    pub(super) codes: Vec<u16>,
}

/// All of them.
pub(super) async fn pages(scene: &Scene) -> Vec<Page> {
    let asked = v1::StatusRequest {
        service: INSTANCE.split_once('.').unwrap().0.to_owned(),
        replicas: true,
        ..v1::StatusRequest::default()
    };
    let status = scene
        .call("/paasta.v1.Admin/Status", asked.encode_to_vec())
        .await;
    let status = v1::StatusResponse::decode(status.unwrap()).unwrap();
    let task = status.instances[0].replicas[0].id.clone();
    let plain = PLAIN.iter().map(|path| Page {
        path: (*path).to_owned(),
        codes: vec![200],
    });
    let nested = PATHS.iter().map(|(_, question, codes)| {
        let path = question.replace("SI", &INSTANCE.replace('.', "/"));
        Page {
            path: format!("/v1{}", path.replace("TASK", &task)),
            codes: codes.to_vec(),
        }
    });
    plain.chain(nested).collect()
}

/// A page that is added brings its row.
pub(super) fn complete() {
    let file = root().join("coordinator/src/http/v1/openapi.json");
    let text = std::fs::read_to_string(file).unwrap();
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let described = description["paths"].as_object().unwrap().keys().cloned();
    let described: BTreeSet<String> = described.collect();
    let rows = PATHS.iter().map(|(path, ..)| *path).chain([HOOK]);
    let rows: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(rows, described, "a row in this file for each path");
}
