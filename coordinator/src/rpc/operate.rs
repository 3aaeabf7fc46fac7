//! What operators do: each request becomes one command in its author's name, proposed by the
//! leader. What a command does is in `paasta_coordinator_core::state::command`; nothing is decided
//! here but whether the request makes sense.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use paasta_common::{
    id::{HostId, InstanceId},
    text::count_of,
};
use paasta_coordinator_core::{
    desired::overdue,
    plan::brake::silent_hosts,
    state::{
        ClusterState,
        actor::Actor,
        command::{
            Command, DrainHost, ReleaseBrake, RemovalRule, RemoveHost, RemoveInstances,
            ResetBackoff, UndrainHost,
        },
        outcome::{Outcome, Reason},
    },
};
use paasta_proto::v1::{
    Asker, BrakeStatusRequest, BrakeStatusResponse, CheckReplicationRequest,
    CheckReplicationResponse, CleanupRequest, CleanupResponse, DrainHostRequest,
    MaintenanceStatusRequest, MaintenanceStatusResponse, OperateResponse, ReleaseBrakeRequest,
    RemoveHostRequest, RemovedInstance, RequestOutcome, ResetBackoffRequest, UndrainHostRequest,
    operate_client::OperateClient, operate_server::Operate,
};
use tonic::{Request, Response, Status, transport::Channel};

use super::{
    admin::AdminService,
    guard::shown,
    status::{RpcError, bad},
    view::{number, words},
};
use crate::{
    caller::principal,
    propose::{AskedBy, Proposer},
};

/// The longest request id, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 100;
/// The longest name of who asks, in bytes.
const BY_BYTES_MAX: usize = 200;
/// The longest reason, in bytes: an event has room for it.
pub(super) const REASON_BYTES_MAX: usize = 500;
/// The longest time that a host can be drained for, in milliseconds: a year.
const DRAIN_MAX_MS: u64 = 366 * 86_400_000;
/// The largest answer that is passed on, in bytes: 100,000 instances have room.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The service.
pub struct OperateService {
    /// Where calls are answered, and what they see.
    pub admin: AdminService,
    /// Where requests become commands.
    pub proposer: Proposer,
}

impl OperateService {
    async fn drain_here(&self, asked: DrainHostRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let host = self.host(&asked.host)?;
        let reason = text("reason", &asked.reason, REASON_BYTES_MAX)?;
        if asked.for_ms > DRAIN_MAX_MS {
            let message = "a host is drained for a year at most".to_owned();
            return Err(bad("for_ms", message));
        }
        let until = (asked.for_ms > 0).then(|| self.proposer.now().after_ms(asked.for_ms));
        let left = self.admin.machine.read().replicas_on(&host).count();
        let command = DrainHost {
            host: host.clone(),
            reason,
            until,
        };
        let outcome = self
            .proposer
            .propose_for(by, Command::DrainHost(command))
            .await?;
        Ok(said(
            &outcome,
            || match left {
                0 => format!("{host} is being drained, and empty"),
                1 => format!(
                    "{host} is being drained: 1 replica leaves as its replacement elsewhere is happy"
                ),
                left => format!(
                    "{host} is being drained: {left} replicas leave as their replacements elsewhere are happy"
                ),
            },
            || format!("{host} is being drained already, for that reason"),
        ))
    }

    async fn undrain_here(&self, asked: UndrainHostRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let host = self.host(&asked.host)?;
        let command = Command::UndrainHost(UndrainHost { host: host.clone() });
        let outcome = self.proposer.propose_for(by, command).await?;
        Ok(said(
            &outcome,
            || format!("{host} takes work again"),
            || format!("{host} was not being drained"),
        ))
    }

    async fn remove_here(&self, asked: RemoveHostRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        // One that is gone already may be asked for again by the same request.
        let host: HostId = asked
            .host
            .parse()
            .map_err(|error| bad("host", format!("{error}")))?;
        let command = Command::RemoveHost(RemoveHost { host: host.clone() });
        let outcome = self.proposer.propose_for(by, command).await?;
        Ok(said(
            &outcome,
            || format!("{host} is forgotten; an agent that still runs there registers it again"),
            || format!("{host} was forgotten already"),
        ))
    }

    async fn release_here(&self, asked: ReleaseBrakeRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let hosts: BTreeSet<HostId> = asked
            .hosts
            .iter()
            .map(|name| self.host(name))
            .collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            let message =
                "name the hosts that are lost; `paasta brake status` shows the silent ones";
            return Err(bad("hosts", message.to_owned()));
        }
        if let Some(host) = self.speaking(&hosts) {
            let text = format!(
                "{host} is not silent any more: nothing was changed; look again with `paasta brake status`"
            );
            return Ok(response(RequestOutcome::Refused, text));
        }
        let count = hosts.len();
        let command = Command::ReleaseBrake(ReleaseBrake { hosts });
        let outcome = self.proposer.propose_for(by, command).await?;
        Ok(said(
            &outcome,
            || match count {
                1 => "1 host is declared lost: what it ran is started elsewhere".to_owned(),
                count => {
                    format!("{count} hosts are declared lost: what they ran is started elsewhere")
                }
            },
            || "these hosts were declared lost already".to_owned(),
        ))
    }

    /// The first of the hosts that is neither silent nor lost.
    fn speaking(&self, hosts: &BTreeSet<HostId>) -> Option<HostId> {
        self.admin.view(|view| {
            let silent = silent_hosts(view.state, view.observed, view.now);
            let away = |id: &HostId| {
                let lost = view.state.host(id).is_some_and(|host| host.is_lost());
                lost || silent.iter().any(|silent| silent.host == *id)
            };
            hosts.iter().find(|id| !away(id)).cloned()
        })
    }

    async fn reset_here(&self, asked: ResetBackoffRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let instance = self
            .admin
            .view(|view| view.instance_named(&asked.instance))?;
        let host = match asked.host.as_str() {
            "" => None,
            name => Some(self.host(name)?),
        };
        let command = ResetBackoff { instance, host };
        let count = command.replicas(&self.admin.machine.read()).count();
        let of = match &command.host {
            Some(host) => format!("{} on {host}", command.instance),
            None => command.instance.to_string(),
        };
        let command = Command::ResetBackoff(command);
        let outcome = self.proposer.propose_for(by, command).await?;
        Ok(said(
            &outcome,
            || {
                format!(
                    "the failures of {} of {of} are forgotten: those that wait are started now, and where they failed is no longer avoided",
                    count_of(count, "replica")
                )
            },
            || format!("no replica of {of} is to run: nothing was changed"),
        ))
    }

    /// Removes what the readings do not have any more: all of it by force, else what has been absent
    /// for long enough and is not held back, which the leader does by itself as well.
    async fn cleanup_here(&self, asked: CleanupRequest) -> Result<CleanupResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let read = self.admin.desired.last_read();
        if !read.error.is_empty() {
            let text = format!(
                "nothing is removed while the soa directory cannot be read: {}",
                read.error
            );
            return Ok(cleanup(RequestOutcome::Refused, text));
        }
        let removing = self.admin.desired.removing();
        let (mut answer, ids) = {
            let state = self.admin.machine.read();
            let (absent, mut answer) = absent(&state);
            let ids = match asked.force {
                true => absent,
                false => overdue(&state, &removing),
            };
            if let (false, Some(held)) = (asked.force, state.held_back()) {
                let text = Reason::from(*held).to_string();
                (answer.outcome, answer.text) = (RequestOutcome::Refused.into(), text);
                return Ok(answer);
            }
            (answer, ids)
        };
        let (count, wait) = (ids.len(), answer.instances.len() - ids.len());
        let later = match wait {
            0 => String::new(),
            wait => format!(
                "{} removed when absent for {} s; --force does not wait",
                instances_are(wait),
                removing.patience_ms / 1_000
            ),
        };
        let said = match (count, asked.dry_run) {
            (0, _) if wait == 0 => nothing_to_remove(),
            (0, true) => response(RequestOutcome::Planned, later),
            (0, false) => response(RequestOutcome::Unchanged, later),
            (_, true) => response(
                RequestOutcome::Planned,
                format!("{} would be removed", count_of(count, "instance")),
            ),
            (_, false) => {
                let command = RemoveInstances {
                    ids,
                    force: asked.force,
                    rule: Some(RemovalRule {
                        leadership: removing.leadership,
                        now: removing.now,
                        guard: removing.guard,
                    }),
                };
                let command = Command::RemoveInstances(command);
                let outcome = self.proposer.propose_for(by, command).await?;
                said(
                    &outcome,
                    || format!("{} drained and removed", instances_are(count)),
                    || nothing_to_remove().text,
                )
            }
        };
        (answer.outcome, answer.text) = (said.outcome, said.text);
        Ok(answer)
    }

    fn host(&self, name: &str) -> Result<HostId, RpcError> {
        self.admin.view(|view| view.host_named(name))
    }
}

#[tonic::async_trait]
impl Operate for OperateService {
    async fn drain_host(
        &self,
        request: Request<DrainHostRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| async move { client(leader).drain_host(asked).await }.boxed();
        let here = |asked| self.drain_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn undrain_host(
        &self,
        request: Request<UndrainHostRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| async move { client(leader).undrain_host(asked).await }.boxed();
        let here = |asked| self.undrain_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn remove_host(
        &self,
        request: Request<RemoveHostRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| async move { client(leader).remove_host(asked).await }.boxed();
        let here = |asked| self.remove_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn maintenance_status(
        &self,
        request: Request<MaintenanceStatusRequest>,
    ) -> Result<Response<MaintenanceStatusResponse>, Status> {
        let there =
            |leader, asked| async move { client(leader).maintenance_status(asked).await }.boxed();
        let admin = self.admin.clone();
        let here =
            move |asked: &MaintenanceStatusRequest| admin.view(|view| view.maintenance(asked));
        self.admin.gate.look(request, false, here, there).await
    }

    async fn brake_status(
        &self,
        request: Request<BrakeStatusRequest>,
    ) -> Result<Response<BrakeStatusResponse>, Status> {
        let there = |leader, asked| async move { client(leader).brake_status(asked).await }.boxed();
        let admin = self.admin.clone();
        let here = move |_: &BrakeStatusRequest| Ok(admin.view(|view| view.brake()));
        self.admin.gate.look(request, false, here, there).await
    }

    async fn release_brake(
        &self,
        request: Request<ReleaseBrakeRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there =
            |leader, asked| async move { client(leader).release_brake(asked).await }.boxed();
        let here = |asked| self.release_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn reset_backoff(
        &self,
        request: Request<ResetBackoffRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there =
            |leader, asked| async move { client(leader).reset_backoff(asked).await }.boxed();
        let here = |asked| self.reset_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn cleanup(
        &self,
        request: Request<CleanupRequest>,
    ) -> Result<Response<CleanupResponse>, Status> {
        let there = |leader, asked| async move { client(leader).cleanup(asked).await }.boxed();
        let here = |asked| self.cleanup_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn check_replication(
        &self,
        request: Request<CheckReplicationRequest>,
    ) -> Result<Response<CheckReplicationResponse>, Status> {
        let there =
            |leader, asked| async move { client(leader).check_replication(asked).await }.boxed();
        let admin = self.admin.clone();
        let here =
            move |asked: &CheckReplicationRequest| admin.view(|view| view.replication(asked));
        self.admin.gate.look(request, false, here, there).await
    }
}

fn client(leader: Channel) -> OperateClient<Channel> {
    OperateClient::new(leader).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// Text that can stand in an event.
pub(super) fn text(field: &'static str, given: &str, most: usize) -> Result<String, RpcError> {
    let given = given.trim();
    if given.is_empty() {
        return Err(bad(field, "it is empty".to_owned()));
    }
    if given.len() > most || given.chars().any(char::is_control) {
        let message = format!("expected one line of at most {most} bytes");
        return Err(bad(field, message));
    }
    Ok(given.to_owned())
}

/// The author of a call, and its request id.
///
/// # Errors
/// [`RpcError::BadRequest`] when either is missing or too long.
pub(super) fn asked_by(asker: Option<Asker>) -> Result<AskedBy, RpcError> {
    let asker = asker.unwrap_or_default();
    Ok(AskedBy {
        request_id: text("asker.request_id", &asker.request_id, REQUEST_ID_BYTES_MAX)?,
        by: author(&text("asker.by", &asker.by, BY_BYTES_MAX)?),
    })
}

/// The author of a call: the identity for which it is made, else the name that the caller typed.
fn author(claim: &str) -> Actor {
    match principal() {
        Some(proven) => Actor::proven(&shown(&proven), claim),
        None => Actor::claimed(claim),
    }
}

/// An outcome in words; a refusal has its own.
pub(super) fn said(
    outcome: &Outcome,
    done: impl FnOnce() -> String,
    unchanged: impl FnOnce() -> String,
) -> OperateResponse {
    match outcome {
        Outcome::Applied => response(RequestOutcome::Done, done()),
        Outcome::Unchanged => response(RequestOutcome::Unchanged, unchanged()),
        Outcome::Refused(reason) => response(RequestOutcome::Refused, reason.to_string()),
        Outcome::Partial { refused } => {
            let first = refused.first().map(|one| one.reason.to_string());
            response(RequestOutcome::Refused, first.unwrap_or_default())
        }
    }
}

/// An answer.
pub(super) fn response(outcome: RequestOutcome, text: String) -> OperateResponse {
    OperateResponse {
        outcome: outcome.into(),
        outcome_word: String::new(),
        text,
    }
}

/// What the readings do not have any more, and the same in an answer.
fn absent(state: &ClusterState) -> (BTreeSet<InstanceId>, CleanupResponse) {
    let absences = state
        .instances()
        .filter_map(|(id, one)| Some((id, one.absence.as_ref()?)));
    let held = state.held_back().is_some();
    let (mut ids, mut instances) = (BTreeSet::new(), Vec::new());
    for (id, absence) in absences {
        instances.push(RemovedInstance {
            instance: id.to_string(),
            why: words::removal(absence.removal).into(),
            why_word: String::new(),
            replicas: number(state.replicas_of(id).count()),
            removed_at_ms: (!held).then_some(absence.until.0),
        });
        ids.insert(id.clone());
    }
    let answer = CleanupResponse {
        instances,
        total: number(state.instances().len()),
        ..CleanupResponse::default()
    };
    (ids, answer)
}

fn cleanup(outcome: RequestOutcome, text: String) -> CleanupResponse {
    CleanupResponse {
        outcome: outcome.into(),
        text,
        ..CleanupResponse::default()
    }
}

/// `1 instance is`, `2 instances are`.
fn instances_are(number: usize) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", count_of(number, "instance"))
}

fn nothing_to_remove() -> OperateResponse {
    let text = "nothing to remove: every instance on record is declared and deployed";
    response(RequestOutcome::Unchanged, text.to_owned())
}
