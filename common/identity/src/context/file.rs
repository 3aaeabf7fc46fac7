//! The text of a context: YAML with the fields of `TABLE`.

use std::{fmt::Write as _, path::PathBuf};

use paasta_common::{
    address::Address,
    id::ClusterName,
    problem::{Problem, Rule, Severity},
    soa::{
        node::{Mark, Value},
        table::{Field, Kind, Pattern, Record, Table},
        yaml,
    },
};

use super::{COORDINATORS_MAX, Context, ContextTls, Pem};

/// How a text in PEM begins.
const PEM_BEGINS: &str = "-----BEGIN ";

static ADDRESS: Pattern = Pattern {
    fits: |text| text.parse::<Address>().is_ok(),
    regex: ":[0-9]+$",
    rule: "must be HOST:PORT, as 10.0.0.1:7000 or [::1]:7000",
};

static CLUSTER: Pattern = Pattern {
    fits: |text| ClusterName::new(text).is_ok(),
    regex: "^[a-zA-Z0-9][a-zA-Z0-9_-]*$",
    rule: "must be the name of a cluster: letters, digits, '_' and '-'",
};

static ADDRESS_KIND: Kind = Kind::Pattern(&ADDRESS);

/// The fields.
static TABLE: Table = Table::strict(
    "how the paasta command line reaches a cluster",
    &[
        Field::new(
            "ca",
            Kind::Text,
            "The certificates of the cluster's authorities: PEM, or the absolute path of a file.",
        ),
        Field::new(
            "cert",
            Kind::Text,
            "Your certificate of the cluster: PEM, or the absolute path of a file.",
        ),
        Field::new("cluster", Kind::Pattern(&CLUSTER), "The cluster.").required(),
        Field::new(
            "coordinators",
            Kind::List(&ADDRESS_KIND),
            "HOST:PORT of any of its coordinators, asked in this order.",
        )
        .required(),
        Field::new(
            "key",
            Kind::Text,
            "The certificate's private key: PEM, or the absolute path of a file.",
        ),
    ],
);

/// Reads the text; `name` is how problems name the file.
///
/// # Errors
/// Every problem, with its line and field.
pub fn parse(name: &str, text: &str) -> Result<Context, Vec<Problem>> {
    let node = yaml::parse(name, text).map_err(|problem| vec![problem])?;
    let Value::Map(map) = &node.value else {
        let message = format!("expected a map at the top, found {}", node.describe());
        return Err(vec![node.mark.error("", message)]);
    };
    let mut problems = Vec::new();
    node.faults("", &mut problems);
    let mut fields = Record::open(map, &TABLE, "", &node.mark, &mut problems);
    let cluster = fields.text("cluster");
    let cluster = cluster.and_then(|text| ClusterName::new(&text).ok());
    let coordinators = coordinators(&mut fields, &node.mark);
    let tls = tls(&mut fields, &node.mark);
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    match (cluster, problems.iter().any(is_error)) {
        (Some(cluster), false) => Ok(Context {
            cluster,
            coordinators,
            tls,
        }),
        _ => Err(problems),
    }
}

fn coordinators(fields: &mut Record<'_, '_>, top: &Mark) -> Vec<Address> {
    let texts = fields.texts("coordinators").unwrap_or_default();
    let given = fields.node("coordinators").is_some();
    if given && (texts.is_empty() || texts.len() > COORDINATORS_MAX) {
        let mark = fields.node("coordinators").map_or(top, |node| &node.mark);
        let message = format!(
            "expected 1 to {COORDINATORS_MAX} addresses, found {}",
            texts.len()
        );
        fields.error("coordinators", mark, Rule::Range, message);
    }
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn tls(fields: &mut Record<'_, '_>, top: &Mark) -> Option<ContextTls> {
    let (ca, certificate, key) = (pem(fields, "ca"), pem(fields, "cert"), pem(fields, "key"));
    let given = ["ca", "cert", "key"].map(|field| fields.node(field).is_some());
    if given.iter().any(|given| *given) && !given.iter().all(|given| *given) {
        let message = "`ca`, `cert` and `key` go together: give all three, or none for a cluster \
                       without TLS";
        fields.error("", top, Rule::Conflict, message);
    }
    Some(ContextTls {
        ca: ca?,
        certificate: certificate?,
        key: key?,
    })
}

/// The value is never repeated: it may be a key.
fn pem(fields: &mut Record<'_, '_>, field: &'static str) -> Option<Pem> {
    let text = fields.text(field)?;
    if text.trim_start().starts_with(PEM_BEGINS) {
        return Some(Pem::Text(text));
    }
    if text.starts_with('/') {
        return Some(Pem::File(PathBuf::from(text)));
    }
    let mark = &fields.node(field)?.mark;
    let message = "is neither PEM (a text that begins with `-----BEGIN `) nor the absolute path \
                   of a file";
    fields.error(field, mark, Rule::Format, message);
    None
}

/// The text of a context.
pub fn print(context: &Context) -> String {
    let mut text = String::from("# How the paasta command line reaches this cluster.\n");
    line(&mut text, "cluster", context.cluster.as_str());
    text.push_str("coordinators:\n");
    for address in &context.coordinators {
        text.push_str(&format!("  - {}\n", quoted(address.as_str())));
    }
    if let Some(tls) = &context.tls {
        for (field, pem) in [
            ("ca", &tls.ca),
            ("cert", &tls.certificate),
            ("key", &tls.key),
        ] {
            match pem {
                Pem::File(path) => line(&mut text, field, &path.to_string_lossy()),
                Pem::Text(pem) => block(&mut text, field, pem),
            }
        }
    }
    text
}

fn line(text: &mut String, field: &str, value: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{field}: {}", quoted(value));
}

fn block(text: &mut String, field: &str, value: &str) {
    let _ = writeln!(text, "{field}: |");
    for line in value.trim().lines() {
        let _ = writeln!(text, "  {}", line.trim());
    }
}

/// Text in quotes, as YAML reads it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    #[test]
    fn what_is_printed_is_read_again() {
        let plain = Context {
            cluster: "prod".parse().unwrap(),
            coordinators: vec!["[::1]:7000".parse().unwrap(), "c1:7401".parse().unwrap()],
            tls: None,
        };
        let secure = Context {
            tls: Some(ContextTls {
                ca: Pem::Text(PEM.to_owned()),
                certificate: Pem::File("/a b/\"c\": d".into()),
                key: Pem::Text(PEM.replace("CERTIFICATE", "PRIVATE KEY")),
            }),
            ..plain.clone()
        };
        for context in [plain, secure] {
            assert_eq!(parse("x.yaml", &print(&context)), Ok(context));
        }
    }

    #[test]
    fn every_fault_is_named_with_its_line_and_no_key_is_shown() {
        let secret = "SECRETSECRET";
        for (text, line, words) in [
            ("cluster: prod", None, "coordinators"),
            ("coordinators: [c:1]", None, "cluster"),
            (
                "cluster: a/b\ncoordinators: [c:1]",
                Some(1),
                "name of a cluster",
            ),
            ("cluster: a\ncoordinators: [c]", Some(2), "HOST:PORT"),
            ("cluster: a\ncoordinators: []", Some(2), "1 to 16"),
            (
                "cluster: a\ncoordinators: [c:1]\nca: /ca.pem",
                None,
                "go together",
            ),
            (
                "cluster: a\ncoordinators: [c:1]\nca: /a\ncert: /b\nkey: SECRETSECRET",
                Some(5),
                "neither PEM",
            ),
            (
                "cluster: a\ncoordinators: [c:1]\ntoken: x",
                Some(3),
                "token",
            ),
            (
                "cluster: a\ncluster: b\ncoordinators: [c:1]",
                Some(2),
                "cluster",
            ),
            ("- a", Some(1), "a map"),
            ("a: [", None, "malformed"),
        ] {
            let problems = parse("/c/x.yaml", text).expect_err(text);
            let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let said = said.join("\n");
            assert!(said.contains(words), "{text}: {said}");
            assert!(said.contains("/c/x.yaml"), "{text}: {said}");
            assert!(!said.contains(secret), "{text}: {said}");
            if let Some(line) = line {
                assert!(
                    problems.iter().any(|one| one.line == Some(line)),
                    "{text}: {said}"
                );
            }
        }
    }
}
