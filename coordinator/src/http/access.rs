//! The callers of each path. What is not in this table is answered to none; where a path asks what
//! a method of gRPC asks, it takes the roles of that method.

use std::{sync::Arc, time::SystemTime};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use paasta_common::id::{InstanceId, ServiceName};
use paasta_coordinator_core::access::Sight;
use paasta_identity::{
    Identity, Peer, Role,
    web::{Access, Refusal, Row},
};
use paasta_process::accept::current_client;

use super::Api;
use crate::{
    caller::{OnBehalf, on_behalf_of},
    rpc::{
        rights::{self, Rights},
        status::RpcError,
    },
};

use Role::{Admin, Coordinator, Deployer, Metrics, Reader};

/// Looking: on loopback also for processes that prove nothing. There is no environment in it.
const LOOK: Access = Access::Local(&[Coordinator, Admin, Deployer, Reader]);
/// Looking at what has the environment of a service.
const DESCRIBE: Access = Access::Proven(&[Admin, Deployer]);
/// Figures of this process.
const MEASURE: Access = Access::Local(&[Coordinator, Admin, Deployer, Reader, Metrics]);

/// Every path.
pub(super) const ROWS: &[Row] = &[
    ("GET", "/healthz", Access::Open),
    ("GET", "/readyz", Access::Open),
    ("GET", "/metrics", MEASURE),
    ("GET", "/v1/openapi.json", LOOK),
    ("GET", "/v1/version", LOOK),
    ("GET", "/v1/metastatus", LOOK),
    ("GET", "/v1/resources/utilization", LOOK),
    ("GET", "/v1/services", LOOK),
    ("GET", "/v1/services/{service}", LOOK),
    ("GET", "/v1/services/{service}/{instance}/status", LOOK),
    ("GET", "/v1/services/{service}/{instance}/tasks", LOOK),
    (
        "GET",
        "/v1/services/{service}/{instance}/tasks/{task}",
        LOOK,
    ),
    ("GET", "/v1/services/{service}/{instance}/delay", LOOK),
    ("GET", "/v1/services/{service}/{instance}/autoscaler", LOOK),
    (
        "GET",
        "/v1/services/{service}/{instance}/marathon_app",
        DESCRIBE,
    ),
    // The dashboard.
    ("GET", "/", LOOK),
    ("GET", "/services", LOOK),
    ("GET", "/i/{instance}", LOOK),
    ("GET", "/hosts", LOOK),
    ("GET", "/events", LOOK),
    ("GET", "/cluster", LOOK),
    ("GET", "/live", LOOK),
    ("GET", "/assets/{file}", LOOK),
    // It has a secret of its own, and is passed on as this coordinator's word.
    ("POST", "/v1/hooks/git", Access::Open),
];

/// Answers in the name of the caller, or refuses.
pub(super) async fn admit(State(api): State<Api>, request: Request, next: Next) -> Response {
    let admitted = api.door.admit(&request);
    match admitted.await {
        Ok(Some(principal)) => match entitled(&api, principal, &request) {
            Ok(call) => on_behalf_of(call, next.run(request)).await,
            Err(refusal) => refused(refusal),
        },
        Ok(None) => next.run(request).await,
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Response {
    let client = current_client().map(|client| client.to_string());
    let client = client.unwrap_or_default();
    tracing::debug!(client, %refusal, "an HTTP request is refused");
    refusal.into_response()
}

/// What the caller may see, by its principal and that one's scopes: the same as by gRPC.
fn entitled(api: &Api, principal: Identity, request: &Request) -> Result<OnBehalf, Refusal> {
    let path = request.uri().path();
    let refusal = |why: String| Refusal::NotEntitled {
        principal: principal.short(),
        asked: format!("{} {path}", request.method()),
        why,
    };
    let peer = request.extensions().get::<Arc<Peer>>();
    let peer = peer.filter(|peer| peer.identity() == Some(&principal));
    if let Err(error) = standing(&api.rights, peer, &principal, path) {
        if let Some(cause) = rights::cause(&error) {
            api.rights.refusals().call(cause, &error.to_string());
        }
        return Err(refusal(error.to_string()));
    }
    let found = {
        let state = api.admin.machine.read();
        let issued = peer.and_then(|peer| rights::issued(peer));
        state.entitled(&principal, issued, api.admin.clock.now())
    };
    let sight = found.map_err(|why| refusal(why.to_string()))?;
    if !covers(&sight, path) {
        return Err(refusal("it is not in its scopes".to_owned()));
    }
    Ok(OnBehalf {
        principal: Some(principal.clone()),
        sight,
    })
}

/// Whether the caller has rights now, by its certificate, or by a bearer token of its identity.
fn standing(
    rights: &Rights,
    peer: Option<&Arc<Peer>>,
    principal: &Identity,
    path: &str,
) -> Result<(), RpcError> {
    let Some(peer) = peer else {
        return rights.check_named(principal);
    };
    let standing = rights.standing(peer, SystemTime::now())?;
    rights.check_method(standing, Some(principal), path)
}

/// Whether what the path names is in sight. A name that cannot be read is not.
fn covers(sight: &Sight, path: &str) -> bool {
    let Sight::Within(_) = sight else {
        return true;
    };
    if let Some(name) = path.strip_prefix("/i/") {
        let id = name.parse::<InstanceId>();
        return id.is_ok_and(|id| sight.covers_instance(&id));
    }
    let Some(named) = path.strip_prefix("/v1/services/") else {
        return true;
    };
    let mut names = named.split('/');
    let service = names.next().unwrap_or_default();
    match names.next().filter(|instance| !instance.is_empty()) {
        Some(instance) => format!("{service}.{instance}")
            .parse::<InstanceId>()
            .is_ok_and(|id| sight.covers_instance(&id)),
        None => ServiceName::new(service).is_ok_and(|name| sight.touches_service(&name)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use paasta_coordinator_core::access::scope::Scopes;

    use super::*;
    use crate::rpc::roles;

    fn roles_of(access: Access) -> &'static [Role] {
        match access {
            Access::Open => &[],
            Access::Local(roles) | Access::Proven(roles) => roles,
        }
    }

    fn row(path: &str) -> Access {
        let found = ROWS.iter().find(|(_, at, _)| *at == path);
        found.unwrap_or_else(|| panic!("{path} has no row")).2
    }

    #[test]
    fn every_described_path_has_a_row_and_no_row_is_of_another() {
        let api: serde_json::Value = serde_json::from_str(super::super::v1::OPENAPI).unwrap();
        let mut described: BTreeSet<(String, String)> = BTreeSet::new();
        for (path, methods) in api["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                if matches!(method.as_str(), "get" | "post" | "put" | "delete") {
                    described.insert((method.to_uppercase(), format!("/v1{path}")));
                }
            }
        }
        let ours = ROWS.iter().filter(|(_, path, _)| path.starts_with("/v1/"));
        let ours = ours.map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
        assert_eq!(ours.collect::<BTreeSet<_>>(), described);
        let pages = crate::dashboard::PATHS;
        let of_pages = ROWS.iter().filter(|(_, path, _)| pages.contains(path));
        assert_eq!(of_pages.count(), pages.len());
        assert_eq!(ROWS.len(), described.len() + pages.len() + 3);
    }

    #[test]
    fn a_path_is_seen_by_what_it_names() {
        let scopes = |words: &[&str]| Sight::Within(Scopes::new(words.iter().copied()).unwrap());
        let (web, main) = (scopes(&["web"]), scopes(&["web.main"]));
        for (path, by_web, by_main) in [
            ("/v1/services", true, true),
            ("/v1/services/web", true, true),
            ("/v1/services/api", false, false),
            ("/services", true, true),
            ("/i/web.main", true, true),
            ("/i/web.other", true, false),
            ("/i/api.main", false, false),
            ("/i/we%62.main", false, false),
            ("/v1/services/web/main/status", true, true),
            ("/v1/services/web/other/status", true, false),
            ("/v1/services/api/main/status", false, false),
            ("/v1/services/we%62/main/status", false, false),
            ("/v1/services//main/status", false, false),
        ] {
            assert_eq!(covers(&web, path), by_web, "{path}");
            assert_eq!(covers(&main, path), by_main, "{path}");
            assert!(covers(&Sight::Everything, path), "{path}");
        }
    }

    #[test]
    fn a_path_takes_the_roles_of_the_method_that_it_calls() {
        for (path, method) in [
            ("/", "Admin/Metastatus"),
            ("/services", "Admin/Search"),
            ("/i/{instance}", "Admin/Status"),
            ("/hosts", "Admin/Metastatus"),
            ("/events", "Admin/Events"),
            ("/cluster", "Admin/Metastatus"),
            ("/live", "Admin/Follow"),
            ("/v1/metastatus", "Admin/Metastatus"),
            ("/v1/resources/utilization", "Admin/Metastatus"),
            ("/v1/services", "Admin/List"),
            ("/v1/services/{service}", "Admin/List"),
            ("/v1/services/{service}/{instance}/status", "Admin/Status"),
            ("/v1/services/{service}/{instance}/tasks", "Admin/Status"),
            ("/v1/services/{service}/{instance}/delay", "Admin/Why"),
            (
                "/v1/services/{service}/{instance}/autoscaler",
                "Admin/Status",
            ),
            (
                "/v1/services/{service}/{instance}/marathon_app",
                "Admin/Describe",
            ),
        ] {
            let allowed = roles::allowed(&format!("/paasta.v1.{method}"));
            assert_eq!(roles_of(row(path)), allowed, "{path}");
        }
    }

    #[test]
    fn what_proves_nothing_reads_no_environment_and_no_role_reads_for_an_agent() {
        let open: Vec<&str> = ROWS
            .iter()
            .filter(|(_, _, access)| *access == Access::Open)
            .map(|(_, path, _)| *path)
            .collect();
        assert_eq!(open, ["/healthz", "/readyz", "/v1/hooks/git"]);
        for (_, path, access) in ROWS {
            assert!(!roles_of(*access).contains(&Role::Agent), "{path}");
            let metrics = roles_of(*access).contains(&Metrics);
            assert_eq!(metrics, *path == "/metrics", "{path}");
        }
        let app = row("/v1/services/{service}/{instance}/marathon_app");
        assert!(matches!(app, Access::Proven(_)));
    }
}
