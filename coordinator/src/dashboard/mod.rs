//! The dashboard: pages for people, rendered here from the answers that `paasta` shows too. They
//! read only, and work without a script; with one they follow what changes.
//!
//! A URL is a `place::Place`; a place asks for answers by `read::Reader` and is laid out by a
//! file of `views` as a `page::Page` of blocks and rows. `live` sends the blocks and rows that
//! became others. Callers are admitted as to every other path: `http/access.rs` has the table.

mod assets;
mod live;
mod page;
mod parts;
mod place;
mod read;
#[cfg(test)]
mod tests;
mod views;

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderValue, Uri,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName},
    },
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};

pub use live::Live;
use page::Page;
use place::Place;

use crate::http::Api;

/// What a browser may do with a page: load its own style, script and icon, send its forms here and
/// follow its own stream. Nothing inline, nothing from elsewhere, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What every answer of the dashboard says to the browser.
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Every path, for the table of callers.
#[cfg(test)]
pub(crate) const PATHS: [&str; 8] = [
    "/",
    "/services",
    "/i/{instance}",
    "/hosts",
    "/events",
    "/cluster",
    "/live",
    "/assets/{file}",
];

/// Every path of the dashboard.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(show))
        .route("/services", get(show))
        .route("/i/{instance}", get(show))
        .route("/hosts", get(show))
        .route("/events", get(show))
        .route("/cluster", get(show))
        .route("/live", get(live::follow))
        .route("/assets/{file}", get(assets::file))
        .layer(from_fn(protected))
}

/// The page of the URL.
async fn show(State(api): State<Api>, uri: Uri) -> Response {
    let page = match Place::of(&uri) {
        Ok(place) => place.page(&api).await,
        Err(problem) => Page::problem(&api, &problem),
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    (page.code, headers, page.html(&uri)).into_response()
}

async fn protected(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
