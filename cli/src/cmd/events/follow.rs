//! Following events over elections: whichever coordinator goes away, another one goes on after the
//! last index that was shown, so that nothing is missed or shown twice.

use std::time::Duration;

use paasta_process::backoff::Retry;
use paasta_proto::v1::{Event, EventsResponse, FollowRequest, admin_client::AdminClient};
use tokio::time::{sleep, timeout};
use tonic::{Request, Streaming};

use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators},
    cmd::Context,
    exit::Exit,
    render::{self, lines::Lines},
    terminal::note,
};

/// A coordinator says something every few seconds, if only that it is there.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Prints the past and whatever follows. Ends when no coordinator can be reached any more, or
/// when the reader goes away.
pub(super) async fn run(
    past: EventsResponse,
    instance: String,
    coordinators: &mut Coordinators,
    context: &Context,
) -> anyhow::Result<Exit> {
    let mut after = past.last_index;
    if !show(&past.events, context)? {
        return Ok(Exit::Ok);
    }
    let mut retry = Retry::new();
    loop {
        let asked = FollowRequest {
            after,
            instance: instance.clone(),
        };
        let mut stream = open(&asked, coordinators).await?;
        loop {
            let news = match timeout(SILENCE_MAX, stream.message()).await {
                Ok(Ok(Some(news))) => news,
                Ok(Ok(None)) | Err(_) => break,
                Ok(Err(status)) => {
                    note(&format!(
                        "{}; going on at another coordinator",
                        status.message()
                    ));
                    break;
                }
            };
            if news.missed {
                note("some events are left out here: more happened at once than are kept");
            }
            // What was shown before is not shown again, whatever a coordinator sends.
            let fresh: Vec<Event> = news
                .events
                .into_iter()
                .filter(|event| event.index > after)
                .collect();
            if !show(&fresh, context)? {
                return Ok(Exit::Ok);
            }
            after = after.max(news.last_index);
            retry.reset();
        }
        coordinators.disconnect();
        sleep(retry.next_delay()).await;
    }
}

async fn open(
    asked: &FollowRequest,
    coordinators: &mut Coordinators,
) -> Result<Streaming<EventsResponse>, CallError> {
    let opened = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = Request::new(asked.clone());
        async move { admin.follow(ask).await }
    });
    opened.await
}

/// Prints events; false when nobody reads them any more.
fn show(events: &[Event], context: &Context) -> anyhow::Result<bool> {
    let mut text = String::new();
    if context.global.json {
        for event in events {
            text.push_str(&serde_json::to_string(event)?);
            text.push('\n');
        }
    } else {
        let mut lines = Lines::new(&context.view);
        render::events::add(&mut lines, 0, events);
        text = lines.finish();
    }
    context.print_on(&text)
}
