//! What happened lately, as the ring of the replicated state has it.

use paasta_common::id::{InstanceId, ServiceName};
use paasta_coordinator_core::{
    access::Sight,
    state::event::{Event, EventKind, Subject},
};
use paasta_proto::v1;

use super::View;

/// Events in one answer, at most: as many as are kept.
const EVENTS_MAX: usize = paasta_coordinator_core::state::event::EVENTS_MAX;

impl View<'_> {
    /// The newest events that the request selects, oldest first.
    pub fn events(&self, request: &v1::EventsRequest) -> v1::EventsResponse {
        let limit = match usize::try_from(request.limit) {
            Ok(0) | Err(_) => EVENTS_MAX,
            Ok(limit) => limit.min(EVENTS_MAX),
        };
        let wanted = |event: &&Event| {
            event.at.0 >= request.since_ms
                && (request.instance.is_empty() || subject_is(&event.subject, &request.instance))
                && is_seen(&event.subject, self.sight)
        };
        let newest = self.state.events().rev();
        let newer = newest.take_while(|event| event.index > request.after);
        let mut events: Vec<v1::Event> = newer.filter(wanted).take(limit).map(event).collect();
        events.reverse();
        v1::EventsResponse {
            events,
            last_index: self.state.last_index(),
            missed: self.missed(request.after),
        }
    }

    /// Whether events after this index may have been dropped from the ring: all that it holds came
    /// later.
    fn missed(&self, after: u64) -> bool {
        let full = self.state.events().count() >= EVENTS_MAX;
        let oldest = self.state.events().next();
        full && oldest.is_some_and(|oldest| oldest.index > after)
    }
}

fn subject_is(subject: &Subject, instance: &str) -> bool {
    match subject {
        Subject::Instance(id) => id.to_string() == instance,
        Subject::Config(scope) => {
            scope == instance
                || instance
                    .split_once('.')
                    .is_some_and(|(service, _)| service == scope)
        }
        Subject::Cluster | Subject::Host(_) => false,
    }
}

/// Whether a caller may see what an event is about: without all scopes, nothing but instances and
/// services in them.
fn is_seen(subject: &Subject, sight: &Sight) -> bool {
    match (subject, sight) {
        (_, Sight::Everything) => true,
        (Subject::Instance(id), Sight::Within(_)) => sight.covers_instance(id),
        (Subject::Config(scope), Sight::Within(_)) => match scope.parse::<InstanceId>() {
            Ok(id) => sight.covers_instance(&id),
            Err(_) => ServiceName::new(scope).is_ok_and(|service| sight.touches_service(&service)),
        },
        (Subject::Cluster | Subject::Host(_), Sight::Within(_)) => false,
    }
}

fn event(event: &Event) -> v1::Event {
    let (instance, host) = match &event.subject {
        Subject::Instance(id) => (id.to_string(), String::new()),
        Subject::Host(host) => (String::new(), host.to_string()),
        Subject::Config(scope) => (scope.clone(), String::new()),
        Subject::Cluster => (String::new(), String::new()),
    };
    v1::Event {
        index: event.index,
        at_ms: event.at.0,
        by: event.by.to_string(),
        principal: event.by.identity().unwrap_or_default().to_owned(),
        claimed: event.by.claim().to_owned(),
        kind: kind(event.kind).into(),
        kind_word: String::new(),
        instance,
        host,
        text: event.text.clone(),
    }
}

fn kind(kind: EventKind) -> v1::EventKind {
    match kind {
        EventKind::Cluster => v1::EventKind::Cluster,
        EventKind::Host => v1::EventKind::Host,
        EventKind::Desired => v1::EventKind::Desired,
        EventKind::Placement => v1::EventKind::Placement,
        EventKind::Replicas => v1::EventKind::Replicas,
        EventKind::Bounce => v1::EventKind::Bounce,
        EventKind::Config => v1::EventKind::Config,
        EventKind::Alert => v1::EventKind::Alert,
        EventKind::Failure => v1::EventKind::Failure,
        EventKind::Admin => v1::EventKind::Admin,
    }
}
