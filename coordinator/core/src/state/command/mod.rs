//! The commands: one file each, with its payload, how it is applied, and its tests. A command
//! carries every time and id it needs, so that applying it is the same everywhere and for ever.

mod bounce;
mod create_token;
mod drain_host;
mod drop_instance;
mod force_bounce;
mod forget;
mod host_back;
mod host_lost;
mod init;
mod note_absence;
mod note_clock;
mod note_troubles;
mod pace_bounces;
mod place;
mod refuse_host;
mod register_host;
mod release_brake;
mod remove_host;
mod remove_instances;
mod remove_principal;
mod renew_node;
mod reset_backoff;
mod restore_identity;
mod resume_bounce;
mod revoke_identity;
mod revoke_token;
mod roll_back;
mod set_alert;
mod set_authorities;
mod set_host_trouble;
mod set_instance;
mod set_override;
mod set_pools;
mod set_principal;
mod set_problems;
mod set_settings;
mod set_space;
mod set_versions;
mod set_want;
mod undrain_host;
mod use_token;

pub use bounce::{Bounce, BounceStep};
pub use create_token::CreateToken;
pub use drain_host::DrainHost;
pub use drop_instance::DropInstance;
pub use force_bounce::ForceBounce;
pub use forget::Forget;
pub use host_back::HostBack;
pub use host_lost::HostLost;
pub use init::Init;
pub use note_absence::{Absent, NoteAbsence};
pub use note_clock::NoteClock;
pub use note_troubles::NoteTroubles;
pub use pace_bounces::PaceBounces;
pub use place::{Place, PlaceReplica};
pub use refuse_host::RefuseHost;
pub use register_host::RegisterHost;
pub use release_brake::ReleaseBrake;
pub use remove_host::RemoveHost;
pub use remove_instances::{RemovalRule, RemoveInstances};
pub use remove_principal::RemovePrincipal;
pub use renew_node::RenewNode;
pub use reset_backoff::ResetBackoff;
pub use restore_identity::RestoreIdentity;
pub use resume_bounce::ResumeBounce;
pub use revoke_identity::RevokeIdentity;
pub use revoke_token::RevokeToken;
pub use roll_back::RollBack;
pub use set_alert::SetAlert;
pub use set_authorities::SetAuthorities;
pub use set_host_trouble::SetHostTrouble;
pub use set_instance::{Extent, SetInstance};
pub use set_override::SetOverride;
pub use set_pools::SetPools;
pub use set_principal::SetPrincipal;
pub use set_problems::SetProblems;
pub use set_settings::SetSettings;
pub use set_space::SetSpace;
pub use set_versions::SetVersions;
pub use set_want::SetWant;
pub use undrain_host::UndrainHost;
pub use use_token::{Use, UseToken};

use paasta_common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ClusterState,
    actor::Actor,
    outcome::{Outcome, Reason},
};

/// The most replicas that one command names: bounds the size of a log entry.
pub const BATCH_MAX: usize = 1_000;

/// A command with its circumstances: what goes into the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Chosen by the client, so that a retry is known as one; at most 128 bytes.
    #[serde(default)]
    pub request_id: Option<String>,
    /// When the leader proposed it.
    pub at: Timestamp,
    /// Its author.
    pub by: Actor,
    /// The command.
    pub command: Command,
}

/// Every way to change the replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Makes the cluster.
    Init(Init),
    /// A host comes, or describes itself anew.
    RegisterHost(RegisterHost),
    /// A second machine was refused under the id of a host.
    RefuseHost(RefuseHost),
    /// A host was silent for too long.
    HostLost(HostLost),
    /// A lost host is heard from again.
    HostBack(HostBack),
    /// The clock of a host is far off, or right again.
    NoteClock(NoteClock),
    /// An operator empties a host.
    DrainHost(DrainHost),
    /// A host takes work again.
    UndrainHost(UndrainHost),
    /// A host goes for good.
    RemoveHost(RemoveHost),
    /// An operator has the failures of an instance forgotten.
    ResetBackoff(ResetBackoff),
    /// An operator declares silent hosts lost.
    ReleaseBrake(ReleaseBrake),
    /// What an instance should be.
    SetInstance(SetInstance),
    /// A reading of the configuration does not have instances, or has them again.
    NoteAbsence(NoteAbsence),
    /// Instances are no longer declared.
    RemoveInstances(RemoveInstances),
    /// The record of an undeclared instance goes, as its last replica is gone.
    DropInstance(DropInstance),
    /// An operator goes back to an earlier app.
    RollBack(RollBack),
    /// An operator lets a bounce go on.
    ResumeBounce(ResumeBounce),
    /// An operator has every replica of an instance replaced.
    ForceBounce(ForceBounce),
    /// How much of what its hosts have each pool gives out.
    SetPools(SetPools),
    /// The operator's settings that decide what a container is.
    SetSettings(SetSettings),
    /// An operator asks for another number of replicas.
    SetOverride(SetOverride),
    /// Which versions of a service are deployed.
    SetVersions(SetVersions),
    /// The configuration problems of a service or instance.
    SetProblems(SetProblems),
    /// An alarm of an instance begins or ends.
    SetAlert(SetAlert),
    /// The room of a coordinator's data directory has another level.
    SetSpace(SetSpace),
    /// What befell the replicas of an instance is written down.
    NoteTroubles(NoteTroubles),
    /// Something of a host stops to work, or works again.
    SetHostTrouble(SetHostTrouble),
    /// Replicas are placed on hosts.
    Place(Place),
    /// Replicas should drain, stop, or run after all.
    SetWant(SetWant),
    /// Replicas are gone.
    Forget(Forget),
    /// A step of a bounce.
    Bounce(Bounce),
    /// It is the turn of instances that bounce by a change that touches many.
    PaceBounces(PaceBounces),
    /// An operator takes the rights of an identity away.
    RevokeIdentity(RevokeIdentity),
    /// An operator gives an identity its rights back.
    RestoreIdentity(RestoreIdentity),
    /// The authorities of the cluster.
    SetAuthorities(SetAuthorities),
    /// A join token is made.
    CreateToken(CreateToken),
    /// A key gets a name by a join token.
    UseToken(UseToken),
    /// A join token is revoked.
    RevokeToken(RevokeToken),
    /// A key that holds a name is replaced by a new one of the same holder.
    RenewNode(RenewNode),
    /// A principal, and what it may see and change.
    SetPrincipal(SetPrincipal),
    /// A principal goes.
    RemovePrincipal(RemovePrincipal),
}

/// The circumstances of a command, as its apply sees them.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) index: u64,
    pub(super) at: Timestamp,
    pub(super) by: &'a Actor,
}

impl Command {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if state.cluster().is_none() && !matches!(self, Self::Init(_)) {
            return Outcome::Refused(Reason::NotInitialised);
        }
        match self {
            Self::Init(command) => command.apply(state, context),
            Self::RegisterHost(command) => command.apply(state, context),
            Self::RefuseHost(command) => command.apply(state, context),
            Self::HostLost(command) => command.apply(state, context),
            Self::HostBack(command) => command.apply(state, context),
            Self::NoteClock(command) => command.apply(state, context),
            Self::DrainHost(command) => command.apply(state, context),
            Self::UndrainHost(command) => command.apply(state, context),
            Self::RemoveHost(command) => command.apply(state, context),
            Self::ResetBackoff(command) => command.apply(state, context),
            Self::ReleaseBrake(command) => command.apply(state, context),
            Self::SetInstance(command) => command.apply(state, context),
            Self::NoteAbsence(command) => command.apply(state, context),
            Self::RemoveInstances(command) => command.apply(state, context),
            Self::DropInstance(command) => command.apply(state, context),
            Self::RollBack(command) => command.apply(state, context),
            Self::ResumeBounce(command) => command.apply(state, context),
            Self::ForceBounce(command) => command.apply(state, context),
            Self::SetPools(command) => command.apply(state, context),
            Self::SetSettings(command) => command.apply(state, context),
            Self::SetOverride(command) => command.apply(state, context),
            Self::SetVersions(command) => command.apply(state, context),
            Self::SetProblems(command) => command.apply(state, context),
            Self::SetAlert(command) => command.apply(state, context),
            Self::SetSpace(command) => command.apply(state, context),
            Self::NoteTroubles(command) => command.apply(state, context),
            Self::SetHostTrouble(command) => command.apply(state, context),
            Self::Place(command) => command.apply(state, context),
            Self::SetWant(command) => command.apply(state, context),
            Self::Forget(command) => command.apply(state, context),
            Self::Bounce(command) => command.apply(state, context),
            Self::PaceBounces(command) => command.apply(state, context),
            Self::RevokeIdentity(command) => command.apply(state, context),
            Self::RestoreIdentity(command) => command.apply(state, context),
            Self::SetAuthorities(command) => command.apply(state, context),
            Self::CreateToken(command) => command.apply(state, context),
            Self::UseToken(command) => command.apply(state, context),
            Self::RevokeToken(command) => command.apply(state, context),
            Self::RenewNode(command) => command.apply(state, context),
            Self::SetPrincipal(command) => command.apply(state, context),
            Self::RemovePrincipal(command) => command.apply(state, context),
        }
    }
}
