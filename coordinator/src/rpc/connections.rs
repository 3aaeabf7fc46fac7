//! The connections of the gRPC endpoint, within their limits; and what goes on on each, so that
//! one without a call is told from one that is used.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use paasta_process::accept::{Acceptor, Activity, Busy, Greeting, Guarded, Limits, Open, Refusals};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
};
use tokio_stream::Stream;
use tonic::{Status, body::Body, transport::server::Connected};
use tower::Service;

/// The preface of HTTP/2 and the head of the first frame of settings.
const GREETING: Greeting = Greeting(24 + 9);

/// Connections as they come.
#[derive(Debug)]
pub struct Connections(Acceptor);

impl Connections {
    /// Of this listener.
    pub fn new(listener: TcpListener, limits: Limits, refusals: &Refusals) -> Self {
        let open = Open::new("grpc", refusals);
        Self(Acceptor::new(listener, limits, GREETING, open))
    }

    /// What is open.
    pub fn open(&self) -> Arc<Open> {
        self.0.open()
    }
}

impl Stream for Connections {
    type Item = io::Result<Taken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0
            .poll_next(context)
            .map(|stream| Some(Ok(Taken(stream))))
    }
}

/// A connection, for tonic.
#[derive(Debug)]
pub struct Taken(Guarded);

impl Connected for Taken {
    type ConnectInfo = Arc<Activity>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.0.activity()
    }
}

impl AsyncRead for Taken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Taken {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
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
        let activity = request.extensions().get::<Arc<Activity>>();
        let busy = activity.map(Activity::begin);
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
