//! Asking coordinators for a new certificate: by the present one, or, once that has expired, by a
//! proof of its key ([`crate::late`]).

use std::time::{Duration, SystemTime};

use paasta_proto::v1::{
    JoiningHelloRequest, RenewLateRequest, RenewRequest, RenewResponse,
    joining_client::JoiningClient,
};
use tokio::time::timeout;
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    connect::Expected,
    credentials::Files,
    key, late,
    renewal::{AskError, Renewed},
    tls::Tls,
};

/// How long connecting to one coordinator may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one answer may take: a coordinator waits for an election.
const ANSWER: Duration = Duration::from_secs(12);

type Answer = Result<Result<Response<RenewResponse>, Status>, tokio::time::error::Elapsed>;

/// Has one of the coordinators sign the request (in PEM), the first that does.
///
/// # Errors
/// [`AskError`] with what the last of them said.
pub async fn ask(
    tls: &Tls,
    files: &Files,
    addresses: &[String],
    request: &str,
) -> Result<Renewed, AskError> {
    let expired = tls.credentials().validity().not_after < SystemTime::now();
    let mut last = AskError::Refused("no coordinator is known".to_owned());
    for address in addresses {
        let asked = match expired {
            false => ask_one(tls, address, request).await,
            true => ask_late(tls, files, address, request).await,
        };
        match asked {
            Ok(renewed) => return Ok(renewed),
            Err(AskError::Refused(words)) => {
                last = AskError::Refused(format!("{address}: {words}"))
            }
            Err(AskError::NoAuthority) => return Err(AskError::NoAuthority),
        }
    }
    Err(last)
}

async fn ask_one(tls: &Tls, address: &str, request: &str) -> Result<Renewed, AskError> {
    let connector = tls.connector(Expected::Any);
    let channel = endpoint(address)?.connect_with_connector(connector).await;
    let mut client = JoiningClient::new(channel.map_err(words)?);
    let request = RenewRequest {
        request: request.to_owned(),
        ..RenewRequest::default()
    };
    renewed(timeout(ANSWER, client.renew(request)).await)
}

/// No certificate is sent: it would be refused.
async fn ask_late(
    tls: &Tls,
    files: &Files,
    address: &str,
    request: &str,
) -> Result<Renewed, AskError> {
    let connector = tls.stranger();
    let channel = endpoint(address)?.connect_with_connector(connector).await;
    let mut client: JoiningClient<Channel> = JoiningClient::new(channel.map_err(words)?);
    let hello = timeout(ANSWER, client.hello(JoiningHelloRequest {})).await;
    let hello = hello
        .map_err(|_| late_answer())?
        .map_err(|status| refusal(&status))?;
    let nonce = hello.into_inner().nonce;
    let read = |path| key::read(path).map_err(|error| AskError::Refused(error.to_string()));
    let text =
        |bytes| String::from_utf8(bytes).map_err(|error| AskError::Refused(error.to_string()));
    let certificate = text(read(&files.certificate)?)?;
    let own = key::read_key(&files.key).map_err(|error| AskError::Refused(error.to_string()))?;
    let proof = late::proof(&text(own)?, &nonce, request);
    let proof = proof.map_err(|error| AskError::Refused(error.to_string()))?;
    let asked = RenewLateRequest {
        certificate,
        nonce,
        request: request.to_owned(),
        proof,
        ..RenewLateRequest::default()
    };
    renewed(timeout(ANSWER, client.renew_late(asked)).await)
}

fn endpoint(address: &str) -> Result<Endpoint, AskError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    Ok(endpoint.map_err(words)?.connect_timeout(CONNECT))
}

fn renewed(answer: Answer) -> Result<Renewed, AskError> {
    let answer = answer.map_err(|_| late_answer())?;
    let answer = answer.map_err(|status| refusal(&status))?.into_inner();
    Ok(Renewed {
        certificate: answer.certificate,
        authorities: answer.authorities,
    })
}

fn late_answer() -> AskError {
    AskError::Refused(format!("no answer within {} s", ANSWER.as_secs()))
}

fn refusal(status: &Status) -> AskError {
    match status.code() {
        // A coordinator of before, which signs nothing.
        Code::Unimplemented => AskError::NoAuthority,
        _ => AskError::Refused(status.message().to_owned()),
    }
}

fn words(error: tonic::transport::Error) -> AskError {
    AskError::Refused(paasta_process::chain::chain(&error))
}
