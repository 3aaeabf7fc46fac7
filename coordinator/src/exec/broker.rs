//! Commands and what they write, over the sessions that there are. A host sends only what it was
//! given room for; a caller may have only so much input under way.

use paasta_common::id::HostId;
use paasta_proto::v1::{self, coordinator_message::Kind, exec_input, exec_output};
use tokio::sync::mpsc;

use crate::broker::{self, Broker};

/// Messages with data of one command that may be under way to its caller.
pub const WINDOW: u32 = 8;
/// Messages for a session that wait, at most.
const OUTBOX_MAX: usize = 256;

/// The sessions and the commands. Clones are the same.
#[derive(Clone, Default)]
pub struct ExecBroker(Broker<v1::ExecOutput>);

/// The writing half of a command. Dropped, the command is killed.
pub struct Remote(broker::Remote<v1::ExecOutput>);

impl ExecBroker {
    /// A session begins whose agent runs commands: what is to be sent to it comes out here.
    pub fn connect(&self, host: &HostId, number: u64) -> mpsc::Receiver<Kind> {
        self.0.connect(host, number, OUTBOX_MAX)
    }

    /// A session has ended, and with it its commands.
    pub fn disconnect(&self, host: &HostId, number: u64) {
        self.0.disconnect(host, number);
    }

    /// Begins a command on a host; none when its agent is away or runs none.
    pub fn begin(
        &self,
        host: &HostId,
        command: v1::ExecBegin,
    ) -> Option<(Remote, mpsc::Receiver<v1::ExecOutput>)> {
        // The data that there is room for, as many acknowledgements of input, and the end.
        let most = 2 * usize::try_from(WINDOW).unwrap_or(1) + 1;
        let begun = self.0.begin(host, most, |id| {
            Kind::ExecBegin(v1::ExecBegin {
                id,
                room: WINDOW,
                ..command
            })
        });
        let (remote, outputs) = begun?;
        Some((Remote(remote), outputs))
    }

    /// A message of a command came in over a session. One that is not awaited is dropped.
    pub fn output(&self, host: &HostId, session: u64, output: v1::ExecOutput) {
        let ended = matches!(output.kind, Some(exec_output::Kind::End(_)));
        self.0.take((host, session), output.id, output, ended);
    }
}

impl Remote {
    /// Sends a message for the command. False when there is no session any more that takes it.
    pub fn send(&self, kind: exec_input::Kind) -> bool {
        let (id, kind) = (self.0.id(), Some(kind));
        self.0.send(Kind::ExecInput(v1::ExecInput { id, kind }))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if self.0.end() {
            self.send(exec_input::Kind::Cancel(v1::ExecEof {}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(id: u64) -> v1::ExecOutput {
        v1::ExecOutput {
            id,
            kind: Some(exec_output::Kind::Data(v1::ExecData::default())),
        }
    }

    fn begun(messages: &mut mpsc::Receiver<Kind>) -> u64 {
        match messages.try_recv() {
            Ok(Kind::ExecBegin(begin)) => begin.id,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_command_is_killed_when_it_is_dropped_and_ends_with_its_session() {
        let broker = ExecBroker::default();
        let host: HostId = "h1".parse().unwrap();
        assert!(broker.begin(&host, v1::ExecBegin::default()).is_none());
        let mut messages = broker.connect(&host, 1);
        let (remote, mut outputs) = broker.begin(&host, v1::ExecBegin::default()).unwrap();
        let id = begun(&mut messages);
        broker.output(&host, 1, data(id));
        broker.output(&host, 7, data(id));
        broker.output(&host, 1, data(99));
        assert_eq!(outputs.recv().await, Some(data(id)));
        assert!(outputs.try_recv().is_err());
        drop(remote);
        let cancelled = messages.try_recv();
        assert!(matches!(
            cancelled,
            Ok(Kind::ExecInput(v1::ExecInput {
                kind: Some(exec_input::Kind::Cancel(_)),
                ..
            }))
        ));
        let (remote, mut outputs) = broker.begin(&host, v1::ExecBegin::default()).unwrap();
        broker.disconnect(&host, 1);
        assert_eq!(outputs.recv().await, None);
        drop(messages);
        assert!(!remote.send(exec_input::Kind::More(v1::ExecRoom { messages: 1 })));
    }

    #[tokio::test]
    async fn a_host_that_sends_more_than_it_may_is_cut_off() {
        let broker = ExecBroker::default();
        let host: HostId = "h1".parse().unwrap();
        let mut messages = broker.connect(&host, 1);
        let (_remote, mut outputs) = broker.begin(&host, v1::ExecBegin::default()).unwrap();
        let id = begun(&mut messages);
        for _ in 0..100 {
            broker.output(&host, 1, data(id));
        }
        for _ in 0..=2 * WINDOW {
            assert!(outputs.recv().await.is_some());
        }
        assert_eq!(outputs.recv().await, None);
    }
}
