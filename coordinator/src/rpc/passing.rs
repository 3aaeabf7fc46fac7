//! An answer on its way to the caller: it is recorded when it is over, and ends early when its
//! caller may not see it any more.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use paasta_proto::v1::RequestOutcome;
use prost::Message as _;
use tokio::time::{Instant, Sleep, sleep};
use tonic::{Code, Status, body::Body};

use super::status::{status_in, success};

use super::guard::message;
use crate::audit::{Audit, AuditOutcome, Record};

/// Between two looks at whether the caller may still see an answer that goes on: well within the
/// 30 s after which a removal must have taken effect.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes of an answer that are looked at for its outcome, at most.
const SAID_BYTES_MAX: usize = 16 << 10;

/// Whether a caller may still see what it gets, and why not.
type Check = Box<dyn Fn() -> Option<Status> + Send>;

/// A record that is written when its call is over. One that is dropped before that is written too:
/// its outcome is not known.
pub(super) struct Pending {
    audit: Audit,
    record: Option<Record>,
}

/// The part of an answer that says what came of a request that changes something.
#[derive(Clone, PartialEq, prost::Message)]
struct Said {
    #[prost(int32, tag = "60")]
    outcome: i32,
    #[prost(string, tag = "2")]
    text: String,
}

impl Pending {
    pub(super) fn new(audit: Audit, record: Option<Record>) -> Self {
        Self { audit, record }
    }

    /// Whether there is nothing to be written.
    pub(super) fn is_nothing(&self) -> bool {
        self.record.is_none()
    }

    /// The call is over.
    pub(super) fn end(mut self, outcome: AuditOutcome, text: &str) {
        self.finish(outcome, text);
    }

    fn finish(&mut self, outcome: AuditOutcome, text: &str) {
        if let Some(record) = self.record.take() {
            self.audit.write(Record {
                outcome,
                action_details: text.to_owned(),
                ..record
            });
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.finish(
            AuditOutcome::Unknown,
            "the caller went away before the answer: it may have been done",
        );
    }
}

/// The body of an answer.
pub(super) struct Passing {
    body: Pin<Box<Body>>,
    pending: Pending,
    /// The beginning of the answer, as far as its outcome is looked for.
    said: BytesMut,
    check: Option<(Check, Pin<Box<Sleep>>)>,
    ended: bool,
}

impl Passing {
    /// The body of an answer with these headers.
    pub(super) fn new(
        body: Body,
        headers: &HeaderMap,
        mut pending: Pending,
        check: Option<Check>,
    ) -> Self {
        // An error without a body is in the headers.
        if let Some(status) = status_in(headers) {
            conclude(&mut pending, &status, &[]);
        }
        Self {
            body: Box::pin(body),
            pending,
            said: BytesMut::new(),
            check: check.map(|check| (check, Box::pin(sleep(LOOK)))),
            ended: false,
        }
    }

    /// The status with which the answer ends early.
    fn cut(&mut self, context: &mut Context<'_>) -> Option<Status> {
        let (check, timer) = self.check.as_mut()?;
        while timer.as_mut().poll(context).is_ready() {
            if let Some(status) = check() {
                return Some(status);
            }
            timer.as_mut().reset(Instant::now() + LOOK);
        }
        None
    }

    fn note(&mut self, frame: &Frame<Bytes>) {
        if self.pending.is_nothing() {
            return;
        }
        if let Some(data) = frame.data_ref() {
            let room = SAID_BYTES_MAX.saturating_sub(self.said.len());
            self.said.extend_from_slice(&data[..data.len().min(room)]);
        }
        if let Some(trailers) = frame.trailers_ref() {
            let status = status_in(trailers).unwrap_or_else(success);
            conclude(&mut self.pending, &status, &self.said);
        }
    }
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(status) = self.cut(context) {
            self.ended = true;
            conclude(&mut self.pending, &status, &[]);
            let mut trailers = HeaderMap::new();
            let added = status.add_header(&mut trailers);
            return Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))));
        }
        let frame = self.body.as_mut().poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => self.note(frame),
            Poll::Ready(Some(Err(status))) => conclude(&mut self.pending, status, &[]),
            Poll::Ready(None) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Writes what came of a call that ended with this status and began its answer so.
fn conclude(pending: &mut Pending, status: &Status, said: &[u8]) {
    match status.code() {
        Code::Ok => {
            let message = message(&Bytes::copy_from_slice(said));
            let said = message.and_then(|message| Said::decode(message).ok());
            let said = said.unwrap_or_default();
            pending.finish(outcome(said.outcome), &said.text);
        }
        Code::PermissionDenied | Code::Unauthenticated => {
            pending.finish(AuditOutcome::Denied, status.message());
        }
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => pending.finish(AuditOutcome::Refused, status.message()),
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => pending.finish(AuditOutcome::Failed, status.message()),
    }
}

fn outcome(said: i32) -> AuditOutcome {
    match RequestOutcome::try_from(said) {
        Ok(RequestOutcome::Refused) => AuditOutcome::Refused,
        Ok(RequestOutcome::Unchanged | RequestOutcome::Planned) => AuditOutcome::Unchanged,
        Ok(RequestOutcome::Done | RequestOutcome::Unspecified) | Err(_) => AuditOutcome::Done,
    }
}
