//! `paasta-coordinator init`: a new cluster of this coordinator, with an authority of its own. Each
//! step is complete or not there, so that an init that was killed is completed by another one, and
//! one that was complete is changed by none.

use std::{fs::File, io, path::Path, time::Duration, time::SystemTime};

use paasta_common::{
    id::ClusterName,
    joining::{Joiner, KeyDigest},
    time::Timestamp,
};
use paasta_coordinator_core::{
    access::scope::Scopes,
    state::{
        ClusterState,
        actor::Actor,
        command::{
            Command, CreateToken, Envelope, Init as MakeCluster, RenewNode, SetAuthorities,
            SetPrincipal,
        },
        outcome::Outcome,
        principal::PrincipalName,
    },
};
use paasta_identity::{
    Credentials, CredentialsError, Identity, IdentityDir, IdentityError, Role,
    authority::{Authority, AuthorityError, Request, key_of},
    directory::DirectoryError,
    token::Token,
};
use uuid::Uuid;

use super::{OfflineError, is_free, prepare, put};
use crate::{
    keeper::{Keeper, KeeperError},
    raft::Seed,
    store::identity_of,
};

/// The term in which the state of a new cluster stands.
const TERM: u64 = 1;
/// The admin that root of this machine becomes.
const ADMIN: &str = "root";

/// The cluster to make.
#[derive(Debug, Clone)]
pub struct Init<'a> {
    /// Its name.
    pub cluster: &'a ClusterName,
    /// The coordinator's id.
    pub node: u64,
    /// `HOST:PORT` at which others reach it.
    pub address: &'a str,
    /// Where its store is made.
    pub data_dir: &'a Path,
    /// Where its certificate, its key and the authority's key are made.
    pub identity: &'a IdentityDir,
    /// Where the files of an administrator's certificate are made.
    pub admin: &'a IdentityDir,
    /// For how long the first tokens may be used.
    pub ttl: Duration,
    /// How many coordinators and how many agents may use them.
    pub uses: (u32, u32),
    /// Now.
    pub now: SystemTime,
}

/// What was made, and what was there.
#[derive(Debug)]
pub struct Made {
    /// The cluster's id.
    pub cluster_id: String,
    /// The first tokens, for coordinators and for agents, if the cluster was made now: they are
    /// nowhere else.
    pub tokens: Option<(Token, Token)>,
    /// Whether the administrator's certificate was made now.
    pub admin: bool,
}

/// Why a cluster was not made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The store.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The files of identities.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The authority's key.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The certificate that is there.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A name.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The state refuses its first commands.
    #[error("the state of a new cluster cannot be made: {why}")]
    State {
        /// The refusal.
        why: String,
    },
    /// Another init runs.
    #[error("another `paasta-coordinator init` or `join` runs on {dir}: wait for its end")]
    Busy {
        /// The directory.
        dir: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// There is a store, and the authority's key is not there.
    #[error(
        "{data} holds a coordinator's store, and {dir} has no authority's key: this coordinator is of a cluster that was made in another way, or joined one. `init` makes a new cluster: name another --data-dir, or move both aside"
    )]
    NoAuthority {
        /// The data directory.
        data: String,
        /// The identity directory.
        dir: String,
    },
    /// The identity that is there is another one.
    #[error(
        "{dir} holds the identity {found}, and this would be {expected}: correct --cluster or --node-id, or move the directory aside"
    )]
    OtherIdentity {
        /// The identity directory.
        dir: String,
        /// The identity in it.
        found: String,
        /// The identity that would be made.
        expected: String,
    },
}

/// Makes what is missing of a cluster of this coordinator.
///
/// # Errors
/// [`InitError`]; what was made until then is used by the next try.
pub async fn init(what: &Init<'_>) -> Result<Made, InitError> {
    what.identity.make()?;
    let _turn = turn(what.identity)?;
    let known = identity_of(what.data_dir).map_err(OfflineError::from)?;
    let known = known.map(|hard| hard.cluster).filter(|id| !id.is_empty());
    let keeper = Keeper::open(what.identity, what.cluster)?;
    if known.is_some() && !keeper.has_key() {
        return Err(InitError::NoAuthority {
            data: what.data_dir.display().to_string(),
            dir: what.identity.path().display().to_string(),
        });
    }
    if !keeper.has_key() {
        let authority = Authority::create(what.cluster, what.now)?;
        keeper.keep(what.cluster, authority.pem(), &authority.key_pem())?;
    }
    let own = Identity::new(
        what.cluster.clone(),
        Role::Coordinator,
        &what.node.to_string(),
    )?;
    let key = certificate(what, &keeper, what.identity, &own)?;
    let root = Identity::new(what.cluster.clone(), Role::Admin, ADMIN)?;
    what.admin.make()?;
    let admin = needs_admin(what, &root)?;
    if admin {
        what.admin.remove(&what.admin.files().certificate)?;
        certificate(what, &keeper, what.admin, &root)?;
    }
    match known {
        Some(cluster_id) => Ok(Made {
            cluster_id,
            tokens: None,
            admin,
        }),
        None => {
            let (cluster_id, tokens) = store(what, &keeper, own, key).await?;
            Ok(Made {
                cluster_id,
                tokens: Some(tokens),
                admin,
            })
        }
    }
}

/// Only one at a time makes an identity in a directory.
fn turn(dir: &IdentityDir) -> Result<File, InitError> {
    let busy = |source: io::Error| InitError::Busy {
        dir: dir.path().display().to_string(),
        source,
    };
    let file = File::create(dir.path().join("lock")).map_err(busy)?;
    file.try_lock().map_err(|error| busy(error.into()))?;
    Ok(file)
}

/// Makes the files of an identity unless they are there, the certificate last. Returns the digest
/// of its key.
fn certificate(
    what: &Init<'_>,
    keeper: &Keeper,
    dir: &IdentityDir,
    identity: &Identity,
) -> Result<KeyDigest, InitError> {
    let files = dir.files();
    if dir.is_complete() {
        let found = Credentials::read(&files)?;
        if found.identity() != identity {
            return Err(InitError::OtherIdentity {
                dir: dir.path().display().to_string(),
                found: found.identity().to_string(),
                expected: identity.to_string(),
            });
        }
        return Ok(found.key_digest());
    }
    let request = Request::create()?;
    let at = Timestamp::from(what.now);
    let pem = keeper.sign(identity, request.pem(), at)?;
    let authority = keeper.certificate().ok_or(KeeperError::NoKey)?;
    dir.write(&files.ca, &authority)?;
    dir.write(&files.key, &request.key_pem())?;
    dir.write(&files.certificate, &pem)?;
    Ok(key_of(request.pem())?)
}

/// Whether the administrator's certificate is missing, or more than half of its life is over.
fn needs_admin(what: &Init<'_>, root: &Identity) -> Result<bool, InitError> {
    if !what.admin.is_complete() {
        return Ok(true);
    }
    let found = Credentials::read(&what.admin.files())?;
    if found.identity() != root {
        return Err(InitError::OtherIdentity {
            dir: what.admin.path().display().to_string(),
            found: found.identity().to_string(),
            expected: root.to_string(),
        });
    }
    let half = paasta_identity::authority::life(Role::Admin) / 2;
    Ok(found.validity().not_after < what.now + half || found.check(what.now).is_err())
}

/// Makes the store, with the first tokens in it. It is there as a whole, or not.
async fn store(
    what: &Init<'_>,
    keeper: &Keeper,
    own: Identity,
    key: KeyDigest,
) -> Result<(String, (Token, Token)), InitError> {
    if !is_free(what.data_dir)? {
        let dir = what.data_dir.to_owned();
        return Err(OfflineError::Occupied { dir }.into());
    }
    let pin = keeper.pin().ok_or(KeeperError::NoKey)?;
    let tokens = (
        Token::random(Joiner::Coordinator, pin),
        Token::random(Joiner::Agent, pin),
    );
    let cluster_id = Uuid::now_v7().to_string();
    let authority = keeper.certificate().ok_or(KeeperError::NoKey)?;
    let state = state(what, &cluster_id, &tokens, authority, (own, key))?;
    let plan = Seed {
        dir: what.data_dir.to_owned(),
        node: what.node,
        address: what.address.to_owned(),
        cluster_id: cluster_id.clone(),
        epoch: 1,
        term: TERM,
        index: state.last_index(),
    };
    put(&prepare(&plan, state).await?, &plan.dir)?;
    Ok((cluster_id, tokens))
}

fn state(
    what: &Init<'_>,
    cluster_id: &str,
    tokens: &(Token, Token),
    authority: String,
    (identity, key): (Identity, KeyDigest),
) -> Result<ClusterState, InitError> {
    let at = Timestamp::from(what.now);
    let token = |token: &Token, uses| {
        Command::CreateToken(CreateToken {
            id: token.id.clone(),
            joiner: token.joiner,
            digest: token.secret.digest(),
            uses,
            expires: at.after(what.ttl),
            principal: None,
            replace: false,
            note: "made with the cluster".to_owned(),
        })
    };
    let commands = [
        Command::Init(MakeCluster {
            cluster_id: cluster_id.to_owned(),
            name: what.cluster.clone(),
        }),
        Command::SetAuthorities(SetAuthorities {
            certificates: vec![authority],
        }),
        Command::RenewNode(RenewNode {
            identity,
            proven: key,
            key,
        }),
        Command::SetPrincipal(SetPrincipal {
            name: PrincipalName::new(ADMIN).map_err(|error| InitError::State {
                why: error.to_string(),
            })?,
            role: Role::Admin,
            scopes: Scopes::default(),
            expires: None,
            not_before: None,
            note: "made with the cluster".to_owned(),
            asker: None,
        }),
        token(&tokens.0, what.uses.0),
        token(&tokens.1, what.uses.1),
    ];
    let mut state = ClusterState::new();
    for (index, command) in (1..).zip(commands) {
        let envelope = Envelope {
            request_id: None,
            at,
            by: Actor::system("paasta-coordinator init"),
            command,
        };
        if let Outcome::Refused(why) = state.apply(index, &envelope) {
            let why = why.to_string();
            return Err(InitError::State { why });
        }
    }
    Ok(state)
}
