//! What became of a command, said so that a program can act on it and an operator can read it.

use paasta_common::{
    id::{AppId, HostId, InstanceId, ReplicaId, TokenId},
    joining::Joiner,
};
use serde::{Deserialize, Serialize};

use crate::fit::Unfit;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Applied,
    /// What it asks for was so already.
    Unchanged,
    /// Done for some of the replicas it names; these were refused.
    Partial {
        /// The refused ones, with the reason of each.
        refused: Vec<RefusedReplica>,
    },
    /// Nothing was done.
    Refused(Reason),
}

/// A replica for which a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedReplica {
    /// The replica.
    pub id: ReplicaId,
    /// Why.
    pub reason: Reason,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There is no cluster yet.
    #[error("the cluster is not initialised; run `paasta cluster init` once")]
    NotInitialised,
    /// There already is another cluster.
    #[error("this is already cluster {name} ({id}); a coordinator belongs to one cluster")]
    OtherCluster {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// The command's bytes mean nothing to this version; every coordinator of it skips them alike.
    #[error("the command cannot be read: {why}; bring all coordinators to one version")]
    Unreadable {
        /// What the decoder says.
        why: String,
    },
    /// The request id is longer than 128 bytes.
    #[error("the request id is longer than 128 bytes")]
    RequestIdTooLong,
    /// No such host.
    #[error("host {host} is not registered; `paasta metastatus -vvv` lists the hosts")]
    UnknownHost {
        /// The host.
        host: HostId,
    },
    /// The host still has replicas that may be running.
    #[error("host {host} is up and has {replicas} replicas; drain it first")]
    HostInUse {
        /// The host.
        host: HostId,
        /// How many.
        replicas: u32,
    },
    /// No such instance.
    #[error("there is no instance {instance}")]
    UnknownInstance {
        /// The instance.
        instance: InstanceId,
    },
    /// The instance is not declared any more.
    #[error("{instance} is no longer declared, or not deployed any more, and is being removed")]
    BeingRemoved {
        /// The instance.
        instance: InstanceId,
    },
    /// More replicas than an operator may ask for.
    #[error(
        "{asked} replicas are too many beside the configured {configured}: at most {most} can be asked for; change `instances` in yelpsoa-configs"
    )]
    TooManyReplicas {
        /// How many were asked for.
        asked: u32,
        /// How many may be.
        most: u32,
        /// How many are configured.
        configured: u32,
    },
    /// The instance still has replicas, or is still declared.
    #[error("instance {instance} is declared or still has {replicas} replicas")]
    InstanceInUse {
        /// The instance.
        instance: InstanceId,
        /// How many.
        replicas: u32,
    },
    /// No such app, or it is not an app of that instance.
    #[error("there is no app {app} of that instance")]
    UnknownApp {
        /// The app.
        app: AppId,
    },
    /// The app id in a spec is of another instance.
    #[error("app {app} is not a version of {instance}")]
    AppOfOtherInstance {
        /// The app.
        app: AppId,
        /// The instance.
        instance: InstanceId,
    },
    /// A deadline of zero would end every bounce at once.
    #[error("the progress deadline of a bounce must be longer than 0")]
    NoProgressDeadline,
    /// Too many instances would go at once.
    #[error(
        "{removed} of {total} instances would be removed at once, more than half; check the soa directory; `paasta cleanup --force` removes them if this is meant"
    )]
    TooManyRemoved {
        /// How many would be undeclared.
        removed: u32,
        /// Of how many.
        total: u32,
    },
    /// Too many instances would go within a while.
    #[error(
        "{removed} of {total} instances would be removed within {minutes} minutes, which is held back; check the soa directory and the deploy tags; `paasta cleanup --dry-run` names them, and `paasta cleanup --force` removes them if this is meant"
    )]
    RemovalsHeldBack {
        /// How many, those that are gone already included.
        removed: u32,
        /// Of how many that were declared in that time.
        total: u32,
        /// That time.
        minutes: u64,
    },
    /// There are no settings yet.
    #[error("the cluster has no settings yet; the first leader adopts its own")]
    NoSettings,
    /// It may still come back.
    #[error("{instance} has not been absent from the configuration for long enough")]
    AbsentTooShort {
        /// The instance.
        instance: InstanceId,
    },
    /// No such replica.
    #[error("there is no replica {id}")]
    UnknownReplica {
        /// The replica.
        id: ReplicaId,
    },
    /// The replica id was used before.
    #[error("replica id {id} was used before")]
    ReplicaIdUsed {
        /// The replica.
        id: ReplicaId,
    },
    /// Another app is desired now.
    #[error("app {app} is not the desired one")]
    AppNotDesired {
        /// The app.
        app: AppId,
    },
    /// As many replicas as are wanted are there.
    #[error("all {wanted} wanted replicas are there")]
    EnoughReplicas {
        /// How many are wanted.
        wanted: u32,
    },
    /// The host cannot take it.
    #[error("the host does not fit: {0}")]
    Unfit(Unfit),
    /// A replica that was told to stop stops.
    #[error("replica {id} already has the order to stop")]
    AlreadyStopping {
        /// The replica.
        id: ReplicaId,
    },
    /// Only a stopped replica can be forgotten.
    #[error("replica {id} has no order to stop")]
    NotStopping {
        /// The replica.
        id: ReplicaId,
    },
    /// No bounce to that app is under way.
    #[error("no bounce of {instance} to that app is under way")]
    NoSuchBounce {
        /// The instance.
        instance: InstanceId,
    },
    /// No more identities can be revoked.
    #[error(
        "{most} identities are revoked, and no more may be: restore some (`paasta auth revoked` lists them), or have the authority replaced"
    )]
    TooManyRevoked {
        /// How many may be.
        most: u32,
    },
    /// Nothing of it should run.
    #[error("{instance} is stopped or no longer declared: there is nothing to start anew")]
    NothingWanted {
        /// The instance.
        instance: InstanceId,
    },
    /// No principal may be called so, or have that role.
    #[error(
        "{name} can be no principal: its role is admin, deployer, reader or metrics, and names that begin with local. are for the local socket"
    )]
    NoPrincipal {
        /// The name.
        name: String,
    },
    /// The note of a principal is too long.
    #[error("the note is longer than 500 bytes")]
    NoteTooLong,
    /// As many principals as may be are there.
    #[error("there are 1000 principals, and no more may be; remove some")]
    TooManyPrincipals,
    /// The last admin must stay.
    #[error("no other admin would be left; make another principal of the role admin first")]
    LastAdmin,
    /// There is no earlier app to go back to.
    #[error("{instance} has no earlier app that was wholly happy")]
    NothingToRollBackTo {
        /// The instance.
        instance: InstanceId,
    },
    /// No such join token, or another secret.
    #[error("there is no join token {id} with this secret; make one: `paasta token create`")]
    UnknownToken {
        /// The token's name.
        id: TokenId,
    },
    /// A join token of this name exists.
    #[error("there is a join token {id} already; try again")]
    TokenExists {
        /// The token's name.
        id: TokenId,
    },
    /// The token was revoked.
    #[error("join token {id} was revoked; make another: `paasta token create`")]
    TokenRevoked {
        /// The token's name.
        id: TokenId,
    },
    /// The token's time is over.
    #[error("join token {id} expired {minutes_ago} min ago; make another: `paasta token create`")]
    TokenExpired {
        /// The token's name.
        id: TokenId,
        /// How long ago, whole minutes.
        minutes_ago: u64,
    },
    /// No use of the token is left.
    #[error(
        "join token {id} is used up; make one for each, or one for several: `paasta token create --uses N`"
    )]
    TokenUsedUp {
        /// The token's name.
        id: TokenId,
    },
    /// The token lets in something else.
    #[error(
        "join token {id} is for {takes}s, and not for {joiner}s: make another: `paasta token create {joiner}`"
    )]
    TokenOfOther {
        /// The token's name.
        id: TokenId,
        /// What it lets in.
        takes: Joiner,
        /// What tried to join.
        joiner: Joiner,
    },
    /// Another key holds the name.
    #[error(
        "{name} belongs to another key: give this machine a name of its own; if it replaces the other one, or has lost its key, join with a token that was made with --replace"
    )]
    NameTaken {
        /// The name, as `ROLE/NAME`.
        name: String,
    },
    /// There are too many tokens that can be used.
    #[error("there are {most} join tokens that can be used, and there may be no more; revoke some")]
    TooManyTokens {
        /// How many there may be.
        most: usize,
    },
    /// Too many names are held by keys.
    #[error("{most} names are held by keys, and there may be no more; remove hosts that are gone")]
    TooManyNodes {
        /// How many there may be.
        most: usize,
    },
    /// The certificates of the authorities are too many or too long.
    #[error("expected 1 to {most} certificates of authorities of at most {bytes} bytes each")]
    WrongAuthorities {
        /// How many there may be.
        most: usize,
        /// How long each may be.
        bytes: usize,
    },
}

impl From<Unfit> for Reason {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl Outcome {
    /// `Applied`, or `Partial` when some were refused.
    pub(super) fn of_batch(refused: Vec<RefusedReplica>) -> Self {
        match refused.is_empty() {
            true => Self::Applied,
            false => Self::Partial { refused },
        }
    }

    /// Whether nothing was refused.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Applied | Self::Unchanged)
    }
}
