//! The connections of the gRPC endpoint, within their limits and with TLS where it is configured;
//! and what goes on on each, so that one without a call is told from one that is used.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use paasta_identity::{
    Tls,
    accept::{HandshakeLimits, Handshakes, SecureAcceptor, Secured},
};
use paasta_process::accept::{Acceptor, Activity, Busy, Greeting, Guarded, Limits, Open, Refusals};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
};
use tokio_stream::Stream;
use tonic::{Status, body::Body, transport::server::Connected};
use tower::Service;

use super::{local::LocalStream, rights::sweep::OpenPeers};
use crate::caller::Caller;

/// The preface of HTTP/2 and the head of the first frame of settings.
const GREETING: Greeting = Greeting(24 + 9);

/// Connections without a certificate, at most.
const STRANGERS_MAX: usize = 64;
/// How long one lasts, at most.
const STRANGER: Duration = Duration::from_secs(60);

/// Connections as they come.
#[derive(Debug)]
pub enum Connections {
    /// Without TLS.
    Plain(Acceptor),
    /// After their handshakes, which are noted.
    Secure(Box<SecureAcceptor>, Strangers, OpenPeers),
}

impl Connections {
    /// Of this listener; with TLS where there is some.
    pub fn new(
        listener: TcpListener,
        limits: Limits,
        refusals: &Refusals,
        tls: Option<(Tls, Handshakes)>,
    ) -> Self {
        let open = Open::new("grpc", refusals);
        let acceptor = Acceptor::new(listener, limits, GREETING, open);
        match tls {
            None => Self::Plain(acceptor),
            Some((tls, counts)) => {
                let bounds = HandshakeLimits::default();
                let acceptor = SecureAcceptor::new(acceptor, tls, bounds, counts);
                Self::Secure(
                    Box::new(acceptor),
                    Strangers::default(),
                    OpenPeers::default(),
                )
            }
        }
    }

    /// What is open.
    pub fn open(&self) -> Arc<Open> {
        match self {
            Self::Plain(acceptor) => acceptor.open(),
            Self::Secure(acceptor, _, _) => acceptor.acceptor().open(),
        }
    }

    /// The open connections with TLS; `None` without TLS.
    pub fn peers(&self) -> Option<OpenPeers> {
        match self {
            Self::Plain(_) => None,
            Self::Secure(_, _, peers) => Some(peers.clone()),
        }
    }
}

/// The connections without a certificate: programs that join. They end after a minute, and the
/// oldest one ends when there are too many: a join is over in seconds.
#[derive(Debug, Default)]
pub struct Strangers(VecDeque<Arc<Activity>>);

impl Strangers {
    fn note(&mut self, secured: &Secured) {
        if secured.peer().identity().is_some() {
            return;
        }
        let activity = secured.activity();
        self.0.push_back(Arc::clone(&activity));
        if self.0.len() > STRANGERS_MAX
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.close();
        }
        tokio::spawn(async move {
            tokio::time::sleep(STRANGER).await;
            activity.close();
        });
    }
}

impl Stream for Connections {
    type Item = io::Result<Taken>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let taken = match self.get_mut() {
            Self::Plain(acceptor) => acceptor.poll_next(context).map(Taken::Plain),
            Self::Secure(acceptor, strangers, peers) => {
                acceptor.poll_next(context).map(|secured| {
                    peers.opened(&secured.activity(), secured.peer());
                    strangers.note(&secured);
                    Taken::Secure(secured)
                })
            }
        };
        taken.map(|taken| Some(Ok(taken)))
    }
}

/// A connection, for tonic.
#[derive(Debug)]
pub enum Taken {
    /// Without TLS.
    Plain(Guarded),
    /// With TLS, its handshake done.
    Secure(Secured),
    /// Of the local socket.
    Local(LocalStream),
}

impl Connected for Taken {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        match self {
            Self::Plain(plain) => Caller::new(plain.activity(), None),
            Self::Secure(secured) => Caller::new(secured.activity(), Some(secured.peer())),
            Self::Local(local) => Caller::local(local.user()),
        }
    }
}

impl AsyncRead for Taken {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_read(context, buffer),
            Self::Secure(secured) => Pin::new(secured).poll_read(context, buffer),
            Self::Local(local) => Pin::new(local).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Taken {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_write(context, bytes),
            Self::Secure(secured) => Pin::new(secured).poll_write(context, bytes),
            Self::Local(local) => Pin::new(local).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_flush(context),
            Self::Secure(secured) => Pin::new(secured).poll_flush(context),
            Self::Local(local) => Pin::new(local).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_shutdown(context),
            Self::Secure(secured) => Pin::new(secured).poll_shutdown(context),
            Self::Local(local) => Pin::new(local).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_write_vectored(context, pieces),
            Self::Secure(secured) => Pin::new(secured).poll_write_vectored(context, pieces),
            Self::Local(local) => Pin::new(local).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.is_write_vectored(),
            Self::Secure(secured) => secured.is_write_vectored(),
            Self::Local(local) => local.is_write_vectored(),
        }
    }
}

/// Says of each call when it begins and ends. The end is that of the answer's last message: a
/// session or a stream of events is under way for as long as it lasts.
#[derive(Clone, Debug)]
pub struct Noted<S>(S);

impl<S> Noted<S> {
    /// Around a service.
    pub fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S, B> Service<http::Request<Body>> for Noted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error = Status> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let caller = Caller::of(request.extensions());
        let busy = caller.and_then(Caller::activity).map(Activity::begin);
        let answer = self.0.call(request);
        async move {
            let answer = answer.await?;
            Ok(answer.map(|body| {
                Body::new(Held {
                    body: Box::pin(body),
                    busy,
                })
            }))
        }
        .boxed()
    }
}

/// The body of an answer; the call is under way until it is dropped.
struct Held<B> {
    body: Pin<Box<B>>,
    busy: Option<Busy>,
}

impl<B: HttpBody<Data = Bytes, Error = Status>> HttpBody for Held<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = self.body.as_mut().poll_frame(context);
        if matches!(frame, Poll::Ready(None)) {
            self.busy = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
