//! Who may see and change what: principals, made and removed by admins; and the audit log.

use std::io;

use futures_util::FutureExt;
use paasta_common::{id::cut, time::Timestamp};
use paasta_coordinator_core::{
    access::scope::Scopes,
    state::{
        command::{Command, RemovePrincipal, SetPrincipal},
        principal::{LOCAL, NOTE_BYTES_MAX, Principal, PrincipalName},
    },
};
use paasta_identity::Role;
use paasta_proto::v1::{
    self, AuditRequest, AuditResponse, ListPrincipalsRequest, ListPrincipalsResponse,
    OperateResponse, PrincipalRole, RemovePrincipalRequest, SetPrincipalRequest,
    principals_client::PrincipalsClient, principals_server::Principals,
};
use tonic::{Request, Response, Status};

use super::{
    admin::AdminService,
    operate::{asked_by, said},
    peers::client_of,
    status::{RpcError, bad},
    view::number,
};
use crate::{
    audit::{Audit, AuditOutcome, Record},
    caller::principal,
    propose::Proposer,
};

/// Records in one answer, unless the request names another number; and at most.
const RECORDS: usize = 100;
const RECORDS_MAX: usize = 1_000;

/// The service.
pub struct PrincipalsService {
    /// Where calls are answered, and what they see.
    pub admin: AdminService,
    /// Where requests become commands.
    pub proposer: Proposer,
    /// The audit log of this coordinator.
    pub audit: Audit,
}

impl PrincipalsService {
    fn list_here(&self) -> ListPrincipalsResponse {
        let state = self.admin.machine.read();
        let principals = state.principals().map(|(name, known)| wire(name, known));
        ListPrincipalsResponse {
            principals: principals.collect(),
            now_ms: self.proposer.now().0,
            open: state.principals().len() == 0,
        }
    }

    async fn set_here(&self, asked: SetPrincipalRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker.clone())?;
        let name = named(&asked.name)?;
        let role = role(asked.role())?;
        let scopes = asked.scopes.iter().map(String::as_str);
        let scopes = Scopes::new(scopes).map_err(|error| bad("scopes", error.to_string()))?;
        if matches!(role, Role::Admin | Role::Metrics) && !scopes.is_empty() {
            let message =
                format!("the role {role} has none: an admin sees everything, metrics no service");
            return Err(bad("scopes", message));
        }
        if asked.note.len() > NOTE_BYTES_MAX || asked.note.chars().any(char::is_control) {
            let message = format!("expected one line of at most {NOTE_BYTES_MAX} bytes");
            return Err(bad("note", message));
        }
        let moment = |ms: u64| (ms > 0).then_some(Timestamp(ms));
        // A user of a coordinator's host needs no principal, and gets none.
        let asker = principal().filter(|asker| !asker.name().starts_with(LOCAL));
        let command = Command::SetPrincipal(SetPrincipal {
            name: name.clone(),
            role,
            scopes: scopes.clone(),
            expires: moment(asked.expires_ms),
            not_before: moment(asked.not_before_ms),
            note: asked.note,
            asker,
        });
        let outcome = self.proposer.propose_for(by, command).await?;
        let covers = match role {
            Role::Admin => "it may see and change everything".to_owned(),
            Role::Metrics => "it may read metrics".to_owned(),
            _ if scopes.is_empty() => "it has no scope and sees nothing".to_owned(),
            _ => format!("its scopes are {scopes}"),
        };
        Ok(said(
            &outcome,
            || format!("{role}/{name} is a principal: {covers}"),
            || format!("{role}/{name} was so already: {covers}"),
        ))
    }

    async fn remove_here(
        &self,
        asked: RemovePrincipalRequest,
    ) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let name = named(&asked.name)?;
        let command = Command::RemovePrincipal(RemovePrincipal { name: name.clone() });
        let outcome = self.proposer.propose_for(by, command).await?;
        Ok(said(
            &outcome,
            || format!("{name} is no principal any more; its open streams end within 30 s"),
            || format!("there is no principal {name}"),
        ))
    }

    async fn records(&self, request: Request<AuditRequest>) -> Result<AuditResponse, RpcError> {
        let client = client_of(&request);
        let asked = request.into_inner();
        let limit = match usize::try_from(asked.limit) {
            Ok(0) | Err(_) => RECORDS,
            Ok(limit) => limit.min(RECORDS_MAX),
        };
        let audit = self.audit.clone();
        let look = move || audit.newest(limit, |record| selects(&asked, record));
        let looked: io::Result<Vec<Record>> = self.admin.gate.looks().take(client, look).await?;
        let records = looked.map_err(|source| RpcError::Audit { source })?;
        Ok(AuditResponse {
            records: records.into_iter().map(record).collect(),
            coordinator: self.admin.consensus.status().node_id,
            now_ms: self.proposer.now().0,
        })
    }
}

fn named(name: &str) -> Result<PrincipalName, RpcError> {
    PrincipalName::new(name).map_err(|error| {
        let message = format!(
            "{:?} is not the name of a principal: {}",
            cut(name),
            error.rule
        );
        bad("name", message)
    })
}

fn role(role: PrincipalRole) -> Result<Role, RpcError> {
    match role {
        PrincipalRole::Admin => Ok(Role::Admin),
        PrincipalRole::Deployer => Ok(Role::Deployer),
        PrincipalRole::Reader => Ok(Role::Reader),
        PrincipalRole::Metrics => Ok(Role::Metrics),
        // Not given, or one that only a newer client knows.
        PrincipalRole::Unspecified => {
            let message = "expected admin, deployer, reader or metrics".to_owned();
            Err(bad("role", message))
        }
    }
}

fn wire(name: &PrincipalName, known: &Principal) -> v1::Principal {
    let role = match known.role {
        Role::Admin => PrincipalRole::Admin,
        Role::Deployer => PrincipalRole::Deployer,
        Role::Reader => PrincipalRole::Reader,
        Role::Metrics => PrincipalRole::Metrics,
        // None has such a role: the command refuses it.
        Role::Coordinator | Role::Agent => PrincipalRole::Unspecified,
    };
    v1::Principal {
        name: name.to_string(),
        role: role.into(),
        scopes: known
            .scopes
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect(),
        expires_ms: known.expires.map_or(0, |at| at.0),
        not_before_ms: known.not_before.map_or(0, |at| at.0),
        note: known.note.clone(),
        created_by: known.created_by.to_string(),
        created_ms: known.created_at.0,
        changed_by: known.changed_by.to_string(),
        changed_ms: known.changed_at.0,
    }
}

/// Whether a record is asked for.
fn selects(asked: &AuditRequest, record: &Record) -> bool {
    let by = asked.by.as_str();
    let refused = matches!(
        record.outcome,
        AuditOutcome::Denied | AuditOutcome::Refused | AuditOutcome::Failed
    );
    let about = |name: &String| {
        *name == asked.object
            || name
                .split_once('.')
                .is_some_and(|(service, _)| service == asked.object)
    };
    record.at_ms >= asked.since_ms
        && (!asked.refused || refused)
        && (by.is_empty() || by == record.principal || by == record.claimed || by == record.user)
        && (asked.object.is_empty() || record.objects.iter().any(about))
}

fn record(record: Record) -> v1::AuditRecord {
    let outcome = match record.outcome {
        AuditOutcome::Done => v1::AuditOutcome::Done,
        AuditOutcome::Unchanged => v1::AuditOutcome::Unchanged,
        AuditOutcome::Denied => v1::AuditOutcome::Denied,
        AuditOutcome::Refused => v1::AuditOutcome::Refused,
        AuditOutcome::Failed => v1::AuditOutcome::Failed,
        AuditOutcome::Unknown => v1::AuditOutcome::Unknown,
        AuditOutcome::Lost => v1::AuditOutcome::Lost,
    };
    v1::AuditRecord {
        at_ms: record.at_ms,
        by: record.user,
        principal: record.principal,
        claimed: record.claimed,
        peer: record.peer,
        via: record.via,
        method: record.action,
        objects_total: number(record.objects_total),
        objects: record.objects,
        outcome: outcome.into(),
        text: record.action_details,
        request_id: record.request_id,
        left_out: record.left_out,
        coordinator: record.coordinator,
    }
}

#[tonic::async_trait]
impl Principals for PrincipalsService {
    async fn list(
        &self,
        request: Request<ListPrincipalsRequest>,
    ) -> Result<Response<ListPrincipalsResponse>, Status> {
        let there =
            |leader, asked| async move { PrincipalsClient::new(leader).list(asked).await }.boxed();
        let here = |_: &ListPrincipalsRequest| Ok(self.list_here());
        self.admin.gate.answer(request, false, here, there).await
    }

    async fn set(
        &self,
        request: Request<SetPrincipalRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there =
            |leader, asked| async move { PrincipalsClient::new(leader).set(asked).await }.boxed();
        let here = |asked| self.set_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn remove(
        &self,
        request: Request<RemovePrincipalRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| {
            async move { PrincipalsClient::new(leader).remove(asked).await }.boxed()
        };
        let here = |asked| self.remove_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn audit(
        &self,
        request: Request<AuditRequest>,
    ) -> Result<Response<AuditResponse>, Status> {
        Ok(Response::new(self.records(request).await?))
    }
}
