//! Somebody who asks: status, why, and what the cluster is, of one coordinator after the other,
//! over the network. An answer may be a refusal, but it comes.

use std::{sync::Arc, time::Duration};

use paasta_coordinator::raft::{Dial, Keepalive};
use paasta_proto::v1::{
    EventsRequest, MetastatusRequest, StatusRequest, WhyRequest, admin_client::AdminClient,
};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status, transport::Channel};

use super::{
    network::{Dialler, Knife},
    world::World,
};
use crate::checkers::Violation;

/// Her name in the network.
pub(crate) const NAME: &str = "user";
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(700);
/// By then there must be an answer: what a coordinator allows itself for finding a leader and
/// passing the question on, and the time to notice that a connection is dead.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks for ever.
pub(crate) async fn ask(world: Arc<World>) -> turmoil::Result {
    let dialler = Dialler(Knife::default());
    for (turn, seat) in world.coordinators.values().cycle().enumerate() {
        sleep(PAUSE).await;
        if seat.has_left() {
            continue;
        }
        let address = seat.address();
        let channel = dialler.dial(seat.id, &address, &Keepalive::default())?;
        let began = Instant::now();
        let answer = timeout(PATIENCE, question(&world, turn, channel)).await;
        let took = began.elapsed().as_millis();
        match answer {
            Ok(Ok(found)) => {
                world.note(
                    NAME,
                    format_args!("{} answers {turn}: {found}, {took} ms", seat.name),
                );
                world.judge.lock().tally.add("answers");
            }
            Ok(Err(status)) => {
                let code = status.code();
                world.note(
                    NAME,
                    format_args!("{} answers {turn}: {code:?}, {took} ms", seat.name),
                );
                world.judge.lock().tally.add("refusals");
                if matches!(code, Code::Internal | Code::DataLoss | Code::Unimplemented) {
                    let what = format!("{} answered with {status}", seat.name);
                    world.judge.lock().blame([Violation::new("answer", what)]);
                }
            }
            Err(_) => {
                let what = format!(
                    "{} did not answer question {turn} within {PATIENCE:?}",
                    seat.name
                );
                world.judge.lock().blame([Violation::new("I8", what)]);
            }
        }
    }
    Err("there is nobody to ask".into())
}

async fn question(world: &World, turn: usize, channel: Channel) -> Result<usize, Status> {
    let mut admin = AdminClient::new(channel);
    match turn % 4 {
        0 => {
            let asked = StatusRequest {
                replicas: true,
                ..StatusRequest::default()
            };
            Ok(admin.status(asked).await?.into_inner().instances.len())
        }
        1 => {
            let asked = MetastatusRequest::default();
            Ok(admin.metastatus(asked).await?.into_inner().hosts.len())
        }
        2 => {
            let asked = EventsRequest::default();
            Ok(admin.events(asked).await?.into_inner().events.len())
        }
        _ => {
            let instance = any_instance(world).unwrap_or_else(|| "svc0.main".to_owned());
            let told = admin.why(WhyRequest { instance }).await?.into_inner();
            Ok(told.status.map_or(0, |status| status.waiting.len()))
        }
    }
}

fn any_instance(world: &World) -> Option<String> {
    let (_, up, _) = world.leader()?;
    let state = up.leader.machine.read();
    state.instances().next().map(|(id, _)| id.to_string())
}
