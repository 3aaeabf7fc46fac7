//! The list of instances: search and filters are in the URL, and every page of it is made here.

use maud::{Markup, html};
use paasta_proto::{
    v1::{InstanceFilter, InstanceStatus, SearchResponse},
    verdict::glance::glance,
    words::Words as _,
};

use crate::dashboard::{
    page::{Block, Page, Row},
    parts::{self, command, instance_link, moment, name_of, version},
    place::Services,
    read::Standing,
};

/// Lays it out.
pub(in crate::dashboard) fn page(
    standing: Standing,
    asked: &Services,
    found: &SearchResponse,
) -> Page {
    let rows = found.instances.iter().map(row).collect();
    let columns = ["Instance", "State", "Happy", "Version", "Since", "Team"];
    let below = html! { (pages(asked, found)) p { (command(&same(asked))) } };
    let blocks = vec![
        Block::plain("search", form(asked)),
        Block::plain("filters", filters(asked, found)),
        Block::table_with(
            "instances",
            "Instances",
            &columns,
            rows,
            "No instance fits the search.",
            &below,
        ),
    ];
    Page::new("Services", "/services", standing, blocks)
}

fn row(one: &InstanceStatus) -> Row {
    let name = name_of(one);
    let happy = one.counts.unwrap_or_default().happy;
    let cells = [
        parts::state(one),
        parts::progress("happy replicas", happy, one.wanted),
        version(&one.git_sha),
        moment(glance(one).since_ms),
        html! { (one.team) },
    ];
    Row::of(format!("instance-{name}"), &instance_link(&name), &cells)
}

fn form(asked: &Services) -> Markup {
    html! {
        form #search action="/services" method="get" role="search" {
            label { "Service or instance" input type="search" name="q" value=(asked.q) maxlength="200"; }
            label { "Team" input name="team" value=(asked.team) maxlength="200"; }
            label { "State" select name="state" {
                @for (word, name) in states() {
                    option value=(word) selected[word == asked.state] { (name) }
                }
            } }
            button { "Search" }
        }
    }
}

/// The words of the filter, each with what it is called.
fn states() -> [(&'static str, &'static str); 5] {
    [
        ("", "all"),
        (InstanceFilter::NotAsWanted.word(), "not as wanted"),
        (InstanceFilter::Bouncing.word(), "bouncing"),
        (InstanceFilter::Held.word(), "held"),
        (InstanceFilter::InAlarm.word(), "in alarm"),
    ]
}

fn filters(asked: &Services, found: &SearchResponse) -> Markup {
    let counts = [
        found.total,
        found.not_as_wanted,
        found.bouncing,
        found.held,
        found.in_alarm,
    ];
    html! {
        nav #filters aria-label="States" {
            ul.filters { @for ((word, name), count) in states().into_iter().zip(counts) {
                li { a href=(url(asked, word, "")) aria-current=[(word == asked.state).then_some("true")] {
                    (count) " " (name)
                } }
            } }
        }
    }
}

fn pages(asked: &Services, found: &SearchResponse) -> Markup {
    html! {
        nav aria-label="More instances" { ul.filters {
            @if !asked.after.is_empty() { li { a href=(url(asked, &asked.state, "")) { "First page" } } }
            @if !found.next_page.is_empty() {
                li { a rel="next" href=(url(asked, &asked.state, &found.next_page)) { "Next page" } }
            }
        } }
    }
}

/// The URL of the same search with this state, after this instance.
fn url(asked: &Services, state: &str, after: &str) -> String {
    let filters = [
        ("q", asked.q.as_str()),
        ("team", &asked.team),
        ("state", state),
        ("after", after),
    ];
    super::link("/services", &filters)
}

/// The command that shows the same.
fn same(asked: &Services) -> String {
    let mut words = "paasta status".to_owned();
    if !asked.q.is_empty() {
        words.push_str(&format!(" -s '*{}*'", asked.q.replace('\'', "")));
    }
    if !asked.team.is_empty() {
        words.push_str(&format!(" --team '{}'", asked.team.replace('\'', "")));
    }
    match asked.filter() {
        Ok(InstanceFilter::Bouncing | InstanceFilter::Held) => words.push_str(" --bouncing"),
        Ok(InstanceFilter::NotAsWanted) => words.push_str(" --not-ok"),
        Ok(InstanceFilter::InAlarm) => "paasta check-replication".clone_into(&mut words),
        Ok(InstanceFilter::Unspecified) | Err(_) => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use axum::http::uri::PathAndQuery;

    use super::*;

    #[test]
    fn a_link_keeps_the_search_and_escapes_it() {
        let asked = Services {
            q: "a&b=c d/ü".to_owned(),
            ..Services::default()
        };
        let link = url(&asked, "held", "web.main");
        assert_eq!(
            link,
            "/services?q=a%26b%3Dc%20d%2F%C3%BC&state=held&after=web.main"
        );
        assert!(link.parse::<PathAndQuery>().is_ok());
        assert_eq!(url(&Services::default(), "", ""), "/services");
    }

    #[test]
    fn the_command_shows_the_same() {
        let asked = Services {
            q: "web".to_owned(),
            team: "front".to_owned(),
            state: "not-as-wanted".to_owned(),
            ..Services::default()
        };
        assert_eq!(
            same(&asked),
            "paasta status -s '*web*' --team 'front' --not-ok"
        );
    }
}
