//! A page as blocks and rows, each with an id: what a browser shows at first as a whole, and what is
//! sent to it later one by one.

use std::hash::{DefaultHasher, Hasher as _};

use axum::http::{StatusCode, Uri};
use maud::{DOCTYPE, Markup, html};
use paasta_process::http::Problem;

use super::{
    assets::{CSS, JS, SVG},
    parts,
    read::Standing,
};
use crate::http::Api;

/// The pages that every page links to.
const TABS: [(&str, &str); 5] = [
    ("/", "Now"),
    ("/services", "Services"),
    ("/hosts", "Hosts"),
    ("/events", "Events"),
    ("/cluster", "Coordinators"),
];

/// A part of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The id of its element.
    pub(super) id: String,
    /// Its element.
    pub(super) html: String,
}

/// A section of a page: what is around its rows, and these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The id of its element.
    pub(super) id: &'static str,
    before: String,
    rows: Vec<Row>,
    after: String,
}

/// A page.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// How the request is answered.
    pub(super) code: StatusCode,
    title: String,
    /// The path of the tab that it belongs to.
    tab: &'static str,
    cluster: String,
    standing: Standing,
    blocks: Vec<Block>,
}

impl Row {
    /// A row of a table: its first cell heads it.
    pub(super) fn of(id: String, head: &Markup, cells: &[Markup]) -> Self {
        let html = html! {
            tr id=(id) {
                th scope="row" { (head) }
                @for cell in cells { td { (cell) } }
            }
        };
        Self {
            id,
            html: html.into_string(),
        }
    }

    /// A row that is `element`, whose id is `id`.
    pub(super) fn element(id: String, element: Markup) -> Self {
        Self {
            id,
            html: element.into_string(),
        }
    }
}

impl Block {
    /// A block without rows, whose element has the id `id`.
    pub(super) fn plain(id: &'static str, element: Markup) -> Self {
        Self {
            id,
            before: element.into_string(),
            rows: Vec::new(),
            after: String::new(),
        }
    }

    /// A table under a heading; `empty` in its place where it has no rows.
    pub(super) fn table(
        id: &'static str,
        heading: &str,
        columns: &[&str],
        rows: Vec<Row>,
        empty: &str,
    ) -> Self {
        Self::table_with(id, heading, columns, rows, empty, &html! {})
    }

    /// The same with something below it.
    pub(super) fn table_with(
        id: &'static str,
        heading: &str,
        columns: &[&str],
        rows: Vec<Row>,
        empty: &str,
        below: &Markup,
    ) -> Self {
        let title = format!("{id}-title");
        let head = html! { h2 id=(title) { (heading) } };
        let head = head.into_string();
        let open = format!(r#"<section id="{id}" aria-labelledby="{title}">{head}"#);
        if rows.is_empty() {
            let none = html! { p.empty { (empty) } (below) }.into_string();
            return Self {
                id,
                before: open + &none,
                rows,
                after: "</section>".to_owned(),
            };
        }
        let columns = html! {
            thead { tr { @for column in columns { th scope="col" { (column) } } } }
        };
        // A table that is wider than the screen is scrolled by keyboard too.
        let before = format!(
            r#"{open}<div class="wide" role="region" aria-labelledby="{title}" tabindex="0"><table aria-labelledby="{title}">{}<tbody>"#,
            columns.into_string()
        );
        let after = format!(
            "</tbody></table></div>{}</section>",
            below.clone().into_string()
        );
        Self {
            id,
            before,
            rows,
            after,
        }
    }

    /// Rows of another shape between two pieces of HTML.
    pub(super) fn around(id: &'static str, before: String, rows: Vec<Row>, after: String) -> Self {
        Self {
            id,
            before,
            rows,
            after,
        }
    }

    /// Its rows.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The whole of it.
    pub(super) fn html(&self) -> String {
        let rows = self.rows.iter().map(|row| row.html.as_str());
        let mut html = self.before.clone();
        html.extend(rows);
        html + &self.after
    }

    /// A number that is another one when something around the rows is another, or a row came or went.
    pub(super) fn frame(&self) -> u64 {
        let ids: Vec<&str> = self.rows.iter().map(|row| row.id.as_str()).collect();
        digest(&(&self.before, &self.after, ids))
    }
}

impl Row {
    /// A number that is another one when the row is.
    pub(super) fn digest(&self) -> u64 {
        digest(&self.html)
    }
}

fn digest(what: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl Page {
    /// A page of these blocks; `tab` is the path of the tab that it belongs to.
    pub(super) fn new(
        title: impl Into<String>,
        tab: &'static str,
        standing: Standing,
        blocks: Vec<Block>,
    ) -> Self {
        Self {
            code: StatusCode::OK,
            title: title.into(),
            tab,
            cluster: standing.cluster.clone(),
            standing,
            blocks,
        }
    }

    /// The page of something that cannot be shown.
    pub(super) fn problem(api: &Api, problem: &Problem) -> Self {
        let code = StatusCode::from_u16(problem.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let words = html! {
            section #problem { p.problem { (problem.text) } p { a href="/" { "To the first page" } } }
        };
        let standing = Standing::of(api);
        let title = code.canonical_reason().unwrap_or("Not shown");
        let mut page = Self::new(title, "", standing, vec![Block::plain("problem", words)]);
        page.code = code;
        page
    }

    /// What is sent when it becomes another: its blocks, and what says where they come from.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut all = vec![Block::plain("standing", self.standing.words())];
        all.extend(self.blocks.iter().cloned());
        all.push(Block::plain("as-of", self.standing.moment()));
        all
    }

    /// What it is: up to which index of the log it knows the cluster, and a digest of all that it
    /// shows but the moment.
    pub(super) fn mark(&self) -> String {
        let shown = (self.standing.words().into_string(), self.html_of_blocks());
        format!("{}.{:016x}", self.standing.applied, digest(&shown))
    }

    fn html_of_blocks(&self) -> Vec<String> {
        self.blocks.iter().map(Block::html).collect()
    }

    /// The whole document. `uri` is where it is.
    pub(super) fn html(&self, uri: &Uri) -> String {
        let title = match self.cluster.as_str() {
            "" => format!("{} · paasta", self.title),
            cluster => format!("{} · {cluster} · paasta", self.title),
        };
        let place = uri.path_and_query().map_or("/", |place| place.as_str());
        let document = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) }
                    link rel="icon" type="image/svg+xml" href=(SVG.path);
                    link rel="stylesheet" href=(CSS.path);
                    script type="module" src=(JS.path) {}
                    noscript { meta http-equiv="refresh" content="30"; }
                }
                body data-place=(place) data-mark=(self.mark()) {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        p.brand { "paasta " strong { (self.cluster) } }
                        nav aria-label="Pages" { ul { @for (path, name) in TABS { li {
                            a href=(path) aria-current=[(path == self.tab).then_some("page")] { (name) }
                        } } } }
                    }
                    (self.standing.words())
                    main #main tabindex="-1" {
                        h1 { (self.title) }
                        @for block in &self.blocks { (maud::PreEscaped(block.html())) }
                    }
                    footer {
                        (self.standing.moment())
                        p { "Read only: every change is made by the command shown beside a fact. "
                            "Keys: " kbd { "/" } " search, " kbd { "j" } " and " kbd { "k" } " next and previous row." }
                        (parts::noscript())
                    }
                }
            }
        };
        document.into_string()
    }
}
