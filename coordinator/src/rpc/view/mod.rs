//! Answers as views: the replicated state, what agents report and what the last plan said, put
//! together for operators. Nothing is decided or changed here.

mod bounces;
mod events;
mod hosts;
mod instance;
mod maintenance;
mod namespaces;
mod replica;
mod replication;
mod search;
pub(crate) mod words;

use std::collections::BTreeSet;

use paasta_common::{
    id::{InstanceId, ServiceName, cut},
    problem::Problem,
    time::Timestamp,
};
use paasta_coordinator_core::{
    access::Sight,
    plan::{observed::Observed, report::Report},
    state::{ClusterState, problems::ProblemScope},
};
use paasta_proto::v1;

pub(super) use hosts::number;
pub(crate) use {
    hosts::HOST_STATES,
    instance::{DEPLOY_STATUSES, Placed},
};

use super::status::RpcError;
use crate::{
    desired::{LastRead, repositories::Troubled},
    raft::RaftStatus,
};

/// Instances in one page, at most.
const PAGE_MAX: usize = 1000;
/// Events shown with `why`.
const WHY_EVENTS: usize = 20;

/// Everything a view is made of, as of one moment.
pub struct View<'a> {
    /// The replicated state.
    pub state: &'a ClusterState,
    /// What agents report.
    pub observed: &'a Observed,
    /// What the last plan said.
    pub report: &'a Report,
    /// How consensus stands.
    pub raft: &'a RaftStatus,
    /// When the desired state was last read.
    pub read: &'a LastRead,
    /// Whose files differ from the settings of the cluster.
    pub drift: &'a [v1::SettingsDrift],
    /// The git repositories in trouble.
    pub repositories: &'a Troubled,
    /// What the caller may see.
    pub sight: &'a Sight,
    /// The time.
    pub now: Timestamp,
}

impl View<'_> {
    /// Which instances the request selects, a page of them, and all of the answer but these.
    ///
    /// # Errors
    /// [`RpcError::NotFound`] when the service or one of the instances is not known.
    pub fn status_page(
        &self,
        request: &v1::StatusRequest,
    ) -> Result<(v1::StatusResponse, Vec<InstanceId>), RpcError> {
        let known = self.known_of(&request.service);
        let chosen = chosen(&known, request, || self.known())
            .map_err(|error| self.explained(error, &request.service))?;
        let size = page_size(request.page_size);
        let mut page: Vec<&InstanceId> = chosen
            .into_iter()
            .filter(|id| id.to_string() > request.page)
            .take(size + 1)
            .collect();
        let next_page = next_page(&mut page, size);
        let answer = v1::StatusResponse {
            cluster: self.cluster_name(),
            instances: Vec::new(),
            next_page,
            now_ms: self.now.0,
            problems: self.problems_of_services(&request.service),
            stale: self.stale(request.stale),
        };
        Ok((answer, page.into_iter().cloned().collect()))
    }

    /// These instances, as far as there is something to say of them.
    pub fn instances_of(&self, ids: &[InstanceId], replicas: bool) -> Vec<v1::InstanceStatus> {
        let known = ids
            .iter()
            .filter(|id| self.state.instance(id).is_some() || self.has_problems(id));
        known.map(|id| self.instance(id, replicas)).collect()
    }

    /// The names of the instances, a page of them.
    pub fn list(&self, request: &v1::ListRequest) -> v1::ListResponse {
        let known = self.known_of(&request.service);
        let size = page_size(request.page_size);
        let mut page: Vec<&InstanceId> = known
            .iter()
            .filter(|id| id.to_string() > request.page)
            .take(size + 1)
            .collect();
        let next_page = next_page(&mut page, size);
        let instances = page.into_iter().map(ToString::to_string).collect();
        v1::ListResponse {
            instances,
            next_page,
            cluster: self.cluster_name(),
            stale: self.stale(request.stale),
        }
    }

    /// How old the answer may be, where a stale one is `asked` for.
    fn stale(&self, asked: bool) -> Option<v1::Stale> {
        // One that led until its quorum was lost has the age of its last proof.
        let ages = [self.raft.since_quorum_ack, self.raft.since_heard];
        let heard = ages.into_iter().flatten().min();
        asked.then(|| v1::Stale {
            coordinator: self.raft.node_id,
            leads: self.leads(),
            heard_ms: heard.as_ref().map(hosts::milliseconds),
            applied_index: self.raft.applied.unwrap_or_default(),
        })
    }

    /// Whether hosts report here, so that what they run is known.
    fn leads(&self) -> bool {
        self.raft.is_leader() && self.raft.has_leader()
    }

    /// One instance with everything that is known of what it waits for.
    ///
    /// # Errors
    /// [`RpcError::NotFound`] when it is not known.
    pub fn why(&self, id: &InstanceId) -> Result<v1::WhyResponse, RpcError> {
        let unknown = self.state.instance(id).is_none() && !self.has_problems(id);
        if unknown || !self.sight.covers_instance(id) {
            return Err(not_found(&self.known(), "instance", &id.to_string()));
        }
        let events = v1::EventsRequest {
            instance: id.to_string(),
            limit: u32::try_from(WHY_EVENTS).unwrap_or(u32::MAX),
            ..v1::EventsRequest::default()
        };
        Ok(v1::WhyResponse {
            status: Some(self.instance(id, true)),
            events: self.events(&events).events,
            now_ms: self.now.0,
        })
    }

    /// The named instances of a service, all of it when none is named.
    ///
    /// # Errors
    /// [`RpcError::BadRequest`] without a service, [`RpcError::NotFound`] when one is not known.
    pub fn select(&self, service: &str, instances: &[String]) -> Result<Vec<InstanceId>, RpcError> {
        if service.is_empty() {
            return Err(RpcError::BadRequest {
                field: "service",
                message: "it must be named".to_owned(),
            });
        }
        let asked = v1::StatusRequest {
            service: service.to_owned(),
            instances: instances.to_vec(),
            ..v1::StatusRequest::default()
        };
        Ok(chosen(&self.known_of(service), &asked, || self.known())?
            .into_iter()
            .cloned()
            .collect())
    }

    /// The desired app of an instance.
    ///
    /// # Errors
    /// [`RpcError::NotFound`] when it is not known, or nothing was ever deployed.
    pub fn describe(&self, id: &InstanceId) -> Result<v1::DescribeResponse, RpcError> {
        let seen = Some(id).filter(|id| self.sight.covers_instance(id));
        let Some(instance) = seen.and_then(|id| self.state.instance(id)) else {
            return Err(match seen.is_some() && self.has_problems(id) {
                true => RpcError::NotFound {
                    what: format!("a deployed version of {id}"),
                    hint: format!("; `paasta why {id}` says why"),
                },
                false => not_found(&self.known(), "instance", &id.to_string()),
            });
        };
        let desired = instance.desired_app();
        let spec = match self.state.app(desired) {
            Some(app) => &app.spec,
            None => &instance.spec.app,
        };
        Ok(v1::DescribeResponse {
            instance: id.to_string(),
            app: desired.to_string(),
            spec: Some(paasta_proto::convert::app_to_wire(spec)),
            run: Some(paasta_proto::convert::run_to_wire(&instance.spec.run)),
            instances: instance.wanted(),
        })
    }

    fn has_problems(&self, id: &InstanceId) -> bool {
        let scope = ProblemScope::Instance(id.clone());
        self.state.problems().contains_key(&scope)
    }

    /// The instance that is called so.
    ///
    /// # Errors
    /// [`RpcError::NotFound`] with close matches when there is none.
    pub fn instance_named(&self, name: &str) -> Result<InstanceId, RpcError> {
        let known = |id: &InstanceId| {
            let is = self.state.instance(id).is_some() || self.has_problems(id);
            is && self.sight.covers_instance(id)
        };
        let id = name.parse().ok().filter(known);
        id.ok_or_else(|| not_found(&self.known(), "instance", name))
    }

    /// Every instance there is something to say of: also those that were never deployed.
    fn known(&self) -> BTreeSet<InstanceId> {
        self.known_of("")
    }

    /// The same of one service, or of all when that is empty; as far as the caller may see it.
    fn known_of(&self, service: &str) -> BTreeSet<InstanceId> {
        let problems = self.state.problems().keys();
        let scopes = problems.filter_map(|scope| match scope {
            ProblemScope::Instance(id) => Some(id),
            ProblemScope::Service(_) => None,
        });
        let instances = self.state.instances().map(|(id, _)| id);
        instances
            .chain(scopes)
            .filter(|id| service.is_empty() || id.service.as_str() == service)
            .filter(|id| self.sight.covers_instance(id))
            .cloned()
            .collect()
    }

    /// The cluster's name; empty before it has one.
    pub fn cluster_name(&self) -> String {
        self.state
            .cluster()
            .map(|cluster| cluster.name.to_string())
            .unwrap_or_default()
    }

    /// The error, with the problem of the service's files for which no instance is known.
    fn explained(&self, error: RpcError, service: &str) -> RpcError {
        let scope = ServiceName::new(service).ok().map(ProblemScope::Service);
        let scope = scope.filter(|_| {
            ServiceName::new(service).is_ok_and(|name| self.sight.touches_service(&name))
        });
        let problems = scope.and_then(|scope| self.state.problems().get(&scope));
        match (error, problems.and_then(|problems| problems.first())) {
            (RpcError::NotFound { what, hint }, Some(problem)) => RpcError::NotFound {
                what,
                hint: format!("{hint}; its files have problems: {problem}"),
            },
            (error, _) => error,
        }
    }

    fn problems_of_services(&self, service: &str) -> Vec<v1::Problem> {
        let selected = |scope: &ProblemScope| match scope {
            ProblemScope::Service(name) => {
                let chosen = service.is_empty() || name.as_str() == service;
                chosen && self.sight.touches_service(name)
            }
            ProblemScope::Instance(_) => false,
        };
        let of_services = self
            .state
            .problems()
            .iter()
            .filter(|(scope, _)| selected(scope));
        of_services
            .flat_map(|(_, problems)| problems)
            .map(problem)
            .collect()
    }
}

fn problem(problem: &Problem) -> v1::Problem {
    v1::Problem {
        file: problem.file.clone(),
        line: problem.line,
        column: problem.column,
        field: problem.field.clone(),
        message: problem.message.clone(),
        severity: words::severity(problem.severity).into(),
    }
}

/// Those of `known` that the request selects; `all` is for telling what was probably meant.
fn chosen<'a>(
    known: &'a BTreeSet<InstanceId>,
    request: &v1::StatusRequest,
    all: impl Fn() -> BTreeSet<InstanceId>,
) -> Result<Vec<&'a InstanceId>, RpcError> {
    if request.service.is_empty() {
        if !request.instances.is_empty() {
            let message = "instances are named together with their service".to_owned();
            return Err(RpcError::BadRequest {
                field: "service",
                message,
            });
        }
        return Ok(known.iter().collect());
    }
    let service = ServiceName::new(&request.service).map_err(|error| RpcError::BadRequest {
        field: "service",
        message: error.to_string(),
    })?;
    let of_service: Vec<&InstanceId> = known.iter().filter(|id| id.service == service).collect();
    if of_service.is_empty() {
        return Err(not_found(&all(), "service", &request.service));
    }
    for name in &request.instances {
        if !of_service.iter().any(|id| id.instance.as_str() == name) {
            return Err(not_found(known, "instance", &format!("{service}.{name}")));
        }
    }
    let named = |id: &&InstanceId| {
        request
            .instances
            .iter()
            .any(|name| name == id.instance.as_str())
    };
    Ok(of_service
        .into_iter()
        .filter(|id| request.instances.is_empty() || named(id))
        .collect())
}

/// Says what is not known, with the names that come closest, if it could be a name at all: how
/// near two texts are costs as much as both are long.
fn not_found(known: &BTreeSet<InstanceId>, kind: &str, name: &str) -> RpcError {
    let could_be = match kind {
        "service" => ServiceName::new(name).is_ok(),
        _ => name.parse::<InstanceId>().is_ok(),
    };
    if !could_be {
        return RpcError::NotFound {
            what: format!("{kind} {:?}", cut(name)),
            hint: "; `paasta list` names what is".to_owned(),
        };
    }
    let names: BTreeSet<String> = match kind {
        "service" => known.iter().map(|id| id.service.to_string()).collect(),
        _ => known.iter().map(ToString::to_string).collect(),
    };
    let close = paasta_common::typo::close_matches(name, names.iter().map(String::as_str));
    let hint = match close.is_empty() {
        true => "; `paasta list` names what is".to_owned(),
        false => format!("; did you mean {}?", close.join(", ")),
    };
    RpcError::NotFound {
        what: format!("{kind} {:?}", cut(name)),
        hint,
    }
}

fn page_size(asked: u32) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => PAGE_MAX,
        Ok(asked) => asked.min(PAGE_MAX),
    }
}

/// Cuts what lies beyond the page; the last name of a page that is not the last one.
fn next_page(page: &mut Vec<&InstanceId>, size: usize) -> String {
    if page.len() <= size {
        return String::new();
    }
    page.truncate(size);
    page.last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
