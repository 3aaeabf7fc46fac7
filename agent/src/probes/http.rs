//! One HTTP request on a connection of its own, so that a probe tells of the server and not of a
//! connection that was kept. Redirects are answers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use paasta_agent_core::drain::calls::Request;
use paasta_common::url::Url;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::tls;

/// The client.
#[derive(Clone, Default)]
pub(super) struct Http {
    /// Made for the first request by HTTPS: it takes 60 KiB, and most hosts have none.
    tls: Arc<OnceLock<TlsConnector>>,
}

impl Http {
    /// Sends the request and returns the status.
    pub(super) async fn send(&self, request: &Request) -> Result<u16, String> {
        let shown = Url::new(&request.url);
        let uri: http::Uri = request
            .url
            .parse()
            .map_err(|error| format!("{shown} is not a URL: {error}"))?;
        let host = uri.host().ok_or_else(|| format!("{shown} names no host"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("{shown} is neither http nor https")),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port))
            .await
            .map_err(|error| format!("port {port}: {error}"))?;
        if !secure {
            return exchange(stream, request, &uri).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let tls = || TlsConnector::from(Arc::new(tls::unverified()));
        let stream = self.tls.get_or_init(tls).connect(name, stream).await;
        let stream = stream.map_err(|error| format!("TLS on port {port}: {error}"))?;
        exchange(stream, request, &uri).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: &Request,
    uri: &http::Uri,
) -> Result<u16, String> {
    let words = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(words)?;
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let path = uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let form = request.form.clone();
    let mut message = http::Request::builder();
    if form.is_some() {
        let kind = "application/x-www-form-urlencoded";
        message = message.header(http::header::CONTENT_TYPE, kind);
    }
    let message = message
        .method(request.method.as_str())
        .uri(path)
        .header(http::header::HOST, authority)
        .header(
            http::header::USER_AGENT,
            concat!("paasta-agent/", env!("CARGO_PKG_VERSION")),
        )
        .header(http::header::CONNECTION, "close")
        .body(Full::new(Bytes::from(form.unwrap_or_default())))
        .map_err(|error| error.to_string())?;
    let mut answer = std::pin::pin!(sender.send_request(message));
    // Driven here and dropped here: the caller's timeout ends the connection as well.
    let answer = tokio::select! {
        // The connection may end together with the answer, which then is still to be had.
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    };
    Ok(answer.map_err(words)?.status().as_u16())
}
