//! An alert by HTTP: the event is posted, and any answer from 200 to 299 is thanks. Over plain HTTP
//! only; whatever wants https is reached by a command.

use http_body_util::Full;
use hyper::{Request, header::CONTENT_TYPE};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use paasta_common::url::Url;

use super::output::DeliveryError;

/// Posts `json` to `url`.
pub(super) async fn send(url: &Url, json: String) -> Result<(), DeliveryError> {
    let request = Request::post(url.plain())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::<bytes::Bytes>::from(json))
        .map_err(|_| DeliveryError::Url(url.clone()))?;
    // Alerts are rare: no connection is kept for the next one.
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(DeliveryError::Answer(status)),
    }
}
