//! Which versions run and who said so: poking the repositories, overriding, and the history. Each
//! call is answered by the leader, here or over there.

use futures_util::FutureExt;
use paasta_common::{id::ServiceName, spec::DesiredState, text::count};
use paasta_coordinator_core::state::{
    command::{Command, SetOverride},
    history::{CHANGES_MAX, Change},
    instance::Instance,
    overrides::OverrideKind,
};
use paasta_proto::v1::{
    self, HistoryRequest, HistoryResponse, OperateResponse, OverrideAction, OverrideRequest,
    PokeRequest, RemotesRequest, RemotesResponse, RequestOutcome, deploys_client::DeploysClient,
    deploys_server::Deploys,
};
use tonic::{Request, Response, Status};

use super::{
    admin::AdminService,
    operate::{asked_by, response, said},
    status::{RpcError, bad},
    view::number,
};
use crate::{caller::sight, propose::Proposer};

/// Tags that one poke names, at most.
const TAGS_MAX: usize = 1_000;
/// The longest name of a tag, in bytes.
const TAG_BYTES_MAX: usize = 255;
/// Repositories in one answer, at most.
const PAGE_MAX: usize = 1_000;

/// The service.
#[derive(Clone)]
pub struct DeploysService {
    /// Where calls are answered, and what they see.
    pub admin: AdminService,
    /// Where requests become commands.
    pub proposer: Proposer,
}

impl DeploysService {
    async fn poke_here(&self, asked: PokeRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let service = service(&asked.service)?;
        if asked.tags.len() > TAGS_MAX || asked.tags.iter().any(|tag| tag.len() > TAG_BYTES_MAX) {
            let message = format!("at most {TAGS_MAX} tags of {TAG_BYTES_MAX} bytes");
            return Err(bad("tags", message));
        }
        let repositories = &self.admin.desired.repositories;
        if !repositories.following().follows {
            let text = "git is not followed here (deployments.generate is false)";
            return Ok(response(RequestOutcome::Refused, text.to_owned()));
        }
        Ok(match repositories.poke(&service, &asked.tags, &by.by) {
            true => response(
                RequestOutcome::Done,
                format!("the repository of {service} is polled next"),
            ),
            false => response(
                RequestOutcome::Refused,
                format!("there is no service {service} in the soa directory"),
            ),
        })
    }

    async fn override_here(&self, asked: OverrideRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker.clone())?;
        let (id, kind) = self.admin.view(|view| {
            let id = view.instance_named(&asked.instance)?;
            let known = view.state.instance(&id);
            let wanted = known.map_or(0, |known| known.wanted());
            let mut kind = kind(&asked, wanted)?;
            let runs = |known: &Instance| known.spec.desired_state == DesiredState::Start;
            // What git starts needs no override to be started.
            if kind == Some(OverrideKind::Start) && known.is_some_and(runs) {
                kind = None;
            }
            Ok::<_, RpcError>((id, kind))
        })?;
        let command = Command::SetOverride(SetOverride {
            instance: id.clone(),
            kind,
            only: None,
        });
        let outcome = self.proposer.propose_for(by, command).await?;
        let until = "until the next deploy, or change of its number or of what its containers are";
        Ok(said(
            &outcome,
            || match kind {
                None => format!("{id} runs as it is configured"),
                Some(OverrideKind::Stop) => format!("{id} stops; it stays so {until}"),
                Some(OverrideKind::Start) => {
                    format!("{id} runs as many replicas as are configured, {until}")
                }
                Some(OverrideKind::Restart) => {
                    format!("{id} stops; when all its replicas are gone it starts again")
                }
                Some(OverrideKind::Scale { instances } | OverrideKind::Pin { instances }) => {
                    format!("{id} runs {} {until}", count(instances, "replica"))
                }
            },
            || match kind {
                None => format!("{id} was not overridden: it runs as it is configured"),
                Some(_) => format!("{id} had this request before"),
            },
        ))
    }

    fn remotes(&self, asked: &RemotesRequest) -> RemotesResponse {
        let following = self.admin.desired.repositories.following();
        let all = &following.remotes;
        let count = |wanted: fn(&paasta_coordinator_core::remotes::Remote) -> bool| {
            number(all.iter().filter(|(_, remote)| wanted(remote)).count())
        };
        let (total, failing, asking) = (
            number(all.len()),
            count(|remote| remote.failures > 0),
            count(|remote| remote.asking),
        );
        let size = match asked.page_size as usize {
            0 => PAGE_MAX,
            size => size.min(PAGE_MAX),
        };
        let seen = sight();
        let chosen = |(service, remote): &&(ServiceName, _)| {
            let remote: &paasta_coordinator_core::remotes::Remote = remote;
            (asked.service.is_empty() || service.as_str() == asked.service)
                && seen.touches_service(service)
                && (!asked.failing || remote.failures > 0)
                && service.as_str() > asked.page.as_str()
        };
        let mut remotes: Vec<v1::Remote> = all
            .iter()
            .filter(chosen)
            .take(size + 1)
            .map(|(service, remote)| v1::Remote {
                service: service.to_string(),
                url: remote.url.clone(),
                answered_at_ms: remote.answered_at.map(|at| at.0),
                error: remote.error.clone(),
                failures: remote.failures,
                next_at_ms: if remote.asking { 0 } else { remote.next_at.0 },
                warning: remote.warning.clone(),
            })
            .collect();
        let mut next_page = String::new();
        if remotes.len() > size {
            remotes.truncate(size);
            next_page = remotes
                .last()
                .map(|last| last.service.clone())
                .unwrap_or_default();
        }
        RemotesResponse {
            follows: following.follows,
            remotes,
            next_page,
            now_ms: self.proposer.now().0,
            total,
            failing,
            asking,
            write_error: following.write_error,
        }
    }

    fn history(&self, asked: &HistoryRequest) -> Result<HistoryResponse, RpcError> {
        self.admin.view(|view| {
            let id = view.instance_named(&asked.instance)?;
            let limit = match asked.limit as usize {
                0 => CHANGES_MAX,
                limit => limit,
            };
            let changes = view.state.instance(&id).map(|known| known.history.iter());
            let mut changes: Vec<v1::Change> = changes
                .into_iter()
                .flatten()
                .rev()
                .take(limit)
                .map(change)
                .collect();
            changes.reverse();
            Ok(HistoryResponse {
                instance: id.to_string(),
                changes,
                now_ms: view.now.0,
            })
        })
    }
}

fn service(name: &str) -> Result<ServiceName, RpcError> {
    ServiceName::new(name).map_err(|error| bad("service", error.to_string()))
}

/// What is asked for, where `wanted` replicas are wanted now; none to end it.
fn kind(asked: &OverrideRequest, wanted: u32) -> Result<Option<OverrideKind>, RpcError> {
    let number = || match (asked.instances, asked.delta) {
        (Some(instances), None) => Ok(instances),
        (None, Some(delta)) => wanted.checked_add_signed(delta).ok_or_else(|| {
            bad(
                "delta",
                format!("{wanted} replicas are wanted now: {delta} are not left"),
            )
        }),
        _ => Err(bad(
            "instances",
            "give either instances or delta".to_owned(),
        )),
    };
    Ok(Some(match asked.action() {
        OverrideAction::Stop => OverrideKind::Stop,
        OverrideAction::Start => OverrideKind::Start,
        OverrideAction::Restart => OverrideKind::Restart,
        OverrideAction::Scale => OverrideKind::Scale {
            instances: number()?,
        },
        OverrideAction::Pin => OverrideKind::Pin {
            instances: number()?,
        },
        OverrideAction::Clear => return Ok(None),
        // Not given, or one that only a newer client knows.
        OverrideAction::Unspecified => {
            let message = "expected stop, start, restart, scale, pin or clear".to_owned();
            return Err(bad("action", message));
        }
    }))
}

fn change(change: &Change) -> v1::Change {
    v1::Change {
        index: change.index,
        at_ms: change.at.0,
        by: change.by.to_string(),
        principal: change.by.identity().unwrap_or_default().to_owned(),
        claimed: change.by.claim().to_owned(),
        kinds: change.kinds.clone(),
        git_sha: change.git_sha.clone().unwrap_or_default(),
        tags: change.tags.clone(),
        fields: change.fields.clone(),
        text: change.text.clone(),
    }
}

#[tonic::async_trait]
impl Deploys for DeploysService {
    async fn poke(
        &self,
        request: Request<PokeRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there =
            |leader, asked| async move { DeploysClient::new(leader).poke(asked).await }.boxed();
        let here = |asked| self.poke_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn remotes(
        &self,
        request: Request<RemotesRequest>,
    ) -> Result<Response<RemotesResponse>, Status> {
        let there =
            |leader, asked| async move { DeploysClient::new(leader).remotes(asked).await }.boxed();
        let own = self.clone();
        let here = move |asked: &RemotesRequest| Ok(own.remotes(asked));
        self.admin.gate.look(request, false, here, there).await
    }

    async fn r#override(
        &self,
        request: Request<OverrideRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| {
            async move { DeploysClient::new(leader).r#override(asked).await }.boxed()
        };
        let here = |asked| self.override_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn history(
        &self,
        request: Request<HistoryRequest>,
    ) -> Result<Response<HistoryResponse>, Status> {
        let there =
            |leader, asked| async move { DeploysClient::new(leader).history(asked).await }.boxed();
        let own = self.clone();
        let here = move |asked: &HistoryRequest| own.history(asked);
        self.admin.gate.look(request, false, here, there).await
    }
}
