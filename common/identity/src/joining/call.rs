//! One coordinator is asked: first for its clock, then, with the token's secret, for a certificate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paasta_proto::{
    convert,
    v1::{JoinRequest, JoinResponse, JoiningHelloRequest, joining_client::JoiningClient},
};
use tokio::time::timeout;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::{JoinError, Wanted};
use crate::{
    authority::BACKDATED,
    connect::{ConnectError, pinned_connector},
    pin::{Dates, Pin},
    reason::Reason,
    token::Token,
};

/// How long one answer may take: a coordinator waits for an election.
const ANSWER: Duration = Duration::from_secs(12);
/// How much of the backdating a certificate keeps for the way.
const MARGIN: Duration = Duration::from_secs(60);

/// Why a coordinator gave no certificate.
pub(super) enum Failure {
    /// Another coordinator, or the same one later, may.
    Next(String),
    /// None will.
    Final(Box<JoinError>),
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        Self::Final(Box::new(error))
    }
}

/// Asks the coordinator at `address`.
pub(super) async fn ask(
    address: &str,
    token: &Token,
    wanted: &Wanted,
    request: &str,
) -> Result<JoinResponse, Failure> {
    let channel = connect(address, token.pin).await?;
    let mut client = JoiningClient::new(channel);
    let hello = timeout(ANSWER, client.hello(JoiningHelloRequest {})).await;
    let hello = hello
        .map_err(|_| late())?
        .map_err(|status| refusal(address, &status))?;
    check_clock(address, hello.into_inner().now_ms)?;
    let asked = JoinRequest {
        token: token.id.to_string(),
        secret: token.secret.to_bytes().to_vec(),
        joiner: convert::joiner_to_wire(wanted.joiner).into(),
        name: wanted.name.clone(),
        request: request.to_owned(),
    };
    let answer = timeout(ANSWER, client.join(asked)).await;
    let answer = answer.map_err(|_| late())?;
    Ok(answer
        .map_err(|status| refusal(address, &status))?
        .into_inner())
}

async fn connect(address: &str, pin: Pin) -> Result<Channel, Failure> {
    let dates = Dates::ByOwnClock;
    match channel(address, pin, dates).await {
        Ok(channel) => Ok(channel),
        Err(error) => Err(match reason(&error) {
            Some(Reason::UnknownAuthority) => {
                let address = address.to_owned();
                JoinError::OtherCluster { address }.into()
            }
            Some(Reason::Expired | Reason::NotYetValid) => clock(address, pin).await,
            _ => Failure::Next(paasta_process::chain::chain(&error)),
        }),
    }
}

async fn channel(
    address: &str,
    pin: Pin,
    dates: Dates,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    endpoint
        .connect_with_connector(pinned_connector(pin, dates))
        .await
}

/// Why the handshake failed, if that is what failed.
fn reason(error: &tonic::transport::Error) -> Option<Reason> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(ConnectError::Handshake(error)) = error.downcast_ref::<ConnectError>() {
            return Some(error.reason());
        }
        source = error.source();
    }
    None
}

/// The dates of the coordinator's certificate do not fit this clock: the coordinator is asked for
/// its own. It gets no secret, and whatever it says nothing is joined.
async fn clock(address: &str, pin: Pin) -> Failure {
    let wrong = || {
        let words = "the dates of its certificate do not fit this machine's clock: compare the clocks, or renew its certificate";
        Failure::Next(words.to_owned())
    };
    let Ok(channel) = channel(address, pin, Dates::NotJudged).await else {
        return wrong();
    };
    let mut client = JoiningClient::new(channel);
    match client.hello(JoiningHelloRequest {}).await {
        Ok(hello) => match check_clock(address, hello.into_inner().now_ms) {
            Err(failure) => failure,
            Ok(()) => wrong(),
        },
        Err(_) => wrong(),
    }
}

/// A clock that is further off than certificates are backdated cannot use a new one.
fn check_clock(address: &str, theirs_ms: u64) -> Result<(), Failure> {
    let own = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let theirs = Duration::from_millis(theirs_ms);
    let off = own.abs_diff(theirs);
    if off + MARGIN < BACKDATED {
        return Ok(());
    }
    Err(JoinError::Clock {
        minutes: off.as_secs() / 60,
        direction: if own > theirs { "ahead of" } else { "behind" },
        address: address.to_owned(),
    }
    .into())
}

fn late() -> Failure {
    Failure::Next(format!("no answer within {} s", ANSWER.as_secs()))
}

fn refusal(address: &str, status: &tonic::Status) -> Failure {
    let words = status.message().to_owned();
    match status.code() {
        Code::PermissionDenied
        | Code::AlreadyExists
        | Code::InvalidArgument
        | Code::Unauthenticated
        | Code::Unimplemented => JoinError::Refused {
            address: address.to_owned(),
            words,
        }
        .into(),
        _ => Failure::Next(words),
    }
}
