//! The style, the script and the icon. Each is a part of the binary, and has the digest of its
//! content in its name: a browser keeps it for as long as it likes.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use paasta_process::http::Problem;
use sha2::{Digest as _, Sha256};

pub(super) const STYLE: &str = include_str!("assets/app.css");
pub(super) const SCRIPT: &str = include_str!("assets/app.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Hexadecimal digits of the digest in a name.
const DIGITS: usize = 16;

/// A file as it is served.
#[derive(Debug)]
pub(super) struct Asset {
    /// Its path.
    pub(super) path: String,
    kind: &'static str,
    text: &'static str,
}

pub(super) static CSS: LazyLock<Asset> = LazyLock::new(|| Asset::new("css", "text/css", STYLE));
pub(super) static JS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript", SCRIPT));
pub(super) static SVG: LazyLock<Asset> = LazyLock::new(|| Asset::new("svg", "image/svg+xml", ICON));

impl Asset {
    fn new(ending: &str, kind: &'static str, text: &'static str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            path: format!("/assets/app.{}.{ending}", &hex[..DIGITS]),
            kind,
            text,
        }
    }
}

/// `GET /assets/FILE`
pub(super) async fn file(Path(file): Path<String>) -> Response {
    let all = [&*CSS, &*JS, &*SVG];
    let named = all.into_iter().find(|asset| {
        let name = asset.path.strip_prefix("/assets/");
        name == Some(file.as_str())
    });
    match named {
        Some(asset) => {
            let headers = [
                (CONTENT_TYPE, asset.kind),
                (CACHE_CONTROL, "private, max-age=31536000, immutable"),
            ];
            (headers, asset.text).into_response()
        }
        None => Problem::new(404, "there is no such file; reload the page").into_response(),
    }
}
