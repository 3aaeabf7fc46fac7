//! The settings of the cluster: what is in force, whose files differ, what a change would do, and
//! that change in an operator's name.

use futures_util::FutureExt;
use paasta_common::config::{ClusterSettings, Difference};
use paasta_coordinator_core::state::command::{Command, SetSettings};
use paasta_proto::v1::{
    ApplySettingsRequest, CoordinatorSettings, DiffSettingsRequest, DiffSettingsResponse,
    OperateResponse, OwnSettingsRequest, OwnSettingsResponse, RequestOutcome, SettingDifference,
    SettingsState, settings_client::SettingsClient, settings_server::Settings,
};
use tonic::{Request, Response, Status, transport::Channel};

use super::{
    admin::AdminService,
    operate::{ANSWER_BYTES_MAX, asked_by, response, said},
    status::{RpcError, bad},
};
use crate::{desired::settings::Heard, propose::Proposer};

/// The service.
pub struct SettingsService {
    /// Where calls are answered, and what they see.
    pub admin: AdminService,
    /// Where requests become commands.
    pub proposer: Proposer,
}

impl SettingsService {
    async fn diff_here(
        &self,
        asked: DiffSettingsRequest,
    ) -> Result<DiffSettingsResponse, RpcError> {
        let files = &self.admin.desired.settings;
        files.ask().await;
        let heard = files.heard();
        let mut answer = self.in_force();
        let current = self.current();
        answer.coordinators = heard.iter().map(|one| coordinator(one, &current)).collect();
        let differs = |one: &&Heard| one.settings.as_ref().is_some_and(|of| *of != current);
        let chosen = match asked.from {
            0 => heard.iter().find(differs),
            id => Some(known(&heard, id)?),
        };
        let Some(chosen) = chosen else {
            return Ok(answer);
        };
        let Some(settings) = &chosen.settings else {
            return Err(silent(chosen.peer.id));
        };
        answer.from = chosen.peer.id;
        answer.digest = settings.digest();
        let preview = self.admin.desired.preview(settings).await;
        let preview = preview.map_err(|why| bad("from", why))?;
        (answer.bounces, answer.refused) = preview;
        Ok(answer)
    }

    async fn apply_here(&self, asked: ApplySettingsRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let files = &self.admin.desired.settings;
        files.ask().await;
        let heard = files.heard();
        let Some(values) = known(&heard, asked.from)?.settings.clone() else {
            return Err(silent(asked.from));
        };
        if values.digest() != asked.digest {
            let text = format!(
                "the files of coordinator {} say something else than what was shown: nothing was changed; look again with `paasta settings diff`",
                asked.from
            );
            return Ok(response(RequestOutcome::Refused, text));
        }
        let digests = heard
            .iter()
            .filter_map(|one| Some((one.peer.id, one.settings.as_ref()?.digest())));
        let command = SetSettings {
            values: Some(Box::new(values)),
            files: digests.collect(),
            why: format!("as the files of coordinator {} have them", asked.from),
        };
        let outcome = self
            .proposer
            .propose_for(by, Command::SetSettings(command))
            .await?;
        Ok(said(
            &outcome,
            || {
                format!(
                    "what the files of coordinator {} say is in force; `paasta status` shows what bounces, a few at a time",
                    asked.from
                )
            },
            || "these settings are in force already".to_owned(),
        ))
    }

    fn current(&self) -> ClusterSettings {
        let state = self.admin.machine.read();
        state.settings().map_or_else(
            || self.admin.desired.settings.own().clone(),
            |settings| settings.values.clone(),
        )
    }

    fn in_force(&self) -> DiffSettingsResponse {
        let now_ms = self.proposer.now().0;
        let state = self.admin.machine.read();
        let Some(settings) = state.settings() else {
            return DiffSettingsResponse {
                now_ms,
                ..DiffSettingsResponse::default()
            };
        };
        DiffSettingsResponse {
            settings: serde_json::to_string(&settings.values).unwrap_or_default(),
            since_ms: settings.since.0,
            by: settings.by.to_string(),
            principal: settings.by.identity().unwrap_or_default().to_owned(),
            claimed: settings.by.claim().to_owned(),
            why: settings.why.clone(),
            now_ms,
            ..DiffSettingsResponse::default()
        }
    }
}

fn known(heard: &[Heard], id: u64) -> Result<&Heard, RpcError> {
    let found = heard.iter().find(|one| one.peer.id == id);
    found.ok_or_else(|| RpcError::NotFound {
        what: format!("coordinator {id}"),
        hint: "; `paasta coordinator list` names them".to_owned(),
    })
}

fn silent(id: u64) -> RpcError {
    RpcError::NotFound {
        what: format!("an answer of coordinator {id}"),
        hint: "; is it running, and of this version?".to_owned(),
    }
}

fn coordinator(heard: &Heard, current: &ClusterSettings) -> CoordinatorSettings {
    let differences = heard
        .settings
        .as_ref()
        .map(|file| current.differences(file));
    let state = match &differences {
        None => SettingsState::Unknown,
        Some(some) if some.is_empty() => SettingsState::Same,
        Some(_) => SettingsState::Differs,
    };
    let difference = |one: Difference| SettingDifference {
        key: one.key,
        cluster: one.ours,
        file: one.theirs,
    };
    CoordinatorSettings {
        id: heard.peer.id,
        address: heard.peer.address.clone(),
        state: state.into(),
        state_word: String::new(),
        differences: differences
            .unwrap_or_default()
            .into_iter()
            .map(difference)
            .collect(),
    }
}

#[tonic::async_trait]
impl Settings for SettingsService {
    async fn own(
        &self,
        _: Request<OwnSettingsRequest>,
    ) -> Result<Response<OwnSettingsResponse>, Status> {
        let settings = serde_json::to_string(self.admin.desired.settings.own());
        Ok(Response::new(OwnSettingsResponse {
            id: self.admin.consensus.status().node_id,
            settings: settings.unwrap_or_default(),
        }))
    }

    async fn diff(
        &self,
        request: Request<DiffSettingsRequest>,
    ) -> Result<Response<DiffSettingsResponse>, Status> {
        let there = |leader, asked| async move { client(leader).diff(asked).await }.boxed();
        let here = |asked| self.diff_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn apply(
        &self,
        request: Request<ApplySettingsRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| async move { client(leader).apply(asked).await }.boxed();
        let here = |asked| self.apply_here(asked);
        self.admin.gate.act(request, here, there).await
    }
}

fn client(leader: Channel) -> SettingsClient<Channel> {
    SettingsClient::new(leader).max_decoding_message_size(ANSWER_BYTES_MAX)
}
