//! Log lines: PaaSTA's form for people, its keys as JSON for programs, or as they were written.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use paasta_proto::{
    v1::{LogComponent, LogLevel, LogLine},
    words,
};
use serde::Serialize;

use super::{Tone, View, plain, time};

/// The longest line that is put together from its parts, bytes; a longer one is shown in pieces.
const LINE_MAX: usize = 1 << 20;

/// How lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people; verbose says where each was written.
    Text {
        /// Host, replica and run too.
        verbose: bool,
    },
    /// A JSON object on each line.
    Json,
    /// The bytes of the message.
    Raw,
}

/// Lines to text, the parts of long ones put together.
#[derive(Debug)]
pub struct Lines {
    form: Form,
    view: View,
    /// What has begun and not ended, by replica, run and component.
    begun: BTreeMap<(String, u64, i32), LogLine>,
}

#[derive(Serialize)]
struct Json<'a> {
    timestamp: String,
    level: Cow<'static, str>,
    cluster: &'a str,
    service: &'a str,
    instance: &'a str,
    component: Cow<'static, str>,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    replica: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<u64>,
    /// The line was too long, or was not ended: it goes on in the next one of this run and
    /// component.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl Lines {
    /// Shows lines in this form.
    pub fn new(form: Form, view: View) -> Self {
        Self {
            form,
            view,
            begun: BTreeMap::new(),
        }
    }

    /// The text of these lines, as far as they are whole.
    pub fn take(&mut self, lines: Vec<LogLine>) -> Vec<u8> {
        let mut text = Vec::new();
        for mut line in lines {
            let key = (line.replica.clone(), line.run, line.component);
            if let Some(mut begun) = self.begun.remove(&key) {
                begun.message.append(&mut line.message);
                line.message = begun.message;
            }
            match line.partial && line.message.len() < LINE_MAX {
                true => drop(self.begun.insert(key, line)),
                false => self.show(&line, &mut text),
            }
        }
        text
    }

    /// The text of what has begun and will not end.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        for line in std::mem::take(&mut self.begun).into_values() {
            self.show(&line, &mut text);
        }
        text
    }

    fn show(&self, line: &LogLine, text: &mut Vec<u8>) {
        match self.form {
            Form::Raw => text.extend_from_slice(&line.message),
            Form::Json => text.extend_from_slice(json(line).as_bytes()),
            Form::Text { verbose } => text.extend_from_slice(self.text(line, verbose).as_bytes()),
        }
        text.push(b'\n');
    }

    fn text(&self, line: &LogLine, verbose: bool) -> String {
        let view = &self.view;
        let at = time::moment(line.at_ns / 1_000_000, view);
        let tone = match LogComponent::try_from(line.component) {
            Ok(LogComponent::Stderr) => Tone::Fair,
            Ok(LogComponent::Deploy) => Tone::Good,
            Ok(LogComponent::Monitoring) => Tone::Bad,
            Ok(LogComponent::Stdout | LogComponent::Unspecified) | Err(_) => Tone::Faint,
        };
        let component = words::shown::<LogComponent>(line.component);
        let component = view.paint(tone, &format!("[{component}]"));
        let origin = match verbose && !line.host.is_empty() {
            true => format!(
                " [{} {}-{}]",
                plain(&line.host),
                plain(&line.replica),
                line.run
            ),
            false => String::new(),
        };
        format!(
            "{at} {component} [{}] [{}]{origin} - [{}] {}",
            plain(&line.cluster),
            plain(&line.instance),
            words::shown::<LogLevel>(line.level),
            harmless(&String::from_utf8_lossy(&line.message)),
        )
    }
}

fn json(line: &LogLine) -> String {
    let at = i128::from(line.at_ns);
    let timestamp = Timestamp::from_nanosecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let message = String::from_utf8_lossy(&line.message);
    let json = Json {
        timestamp: format!("{timestamp:.9}"),
        level: words::word::<LogLevel>(line.level),
        cluster: &line.cluster,
        service: &line.service,
        instance: &line.instance,
        component: words::word::<LogComponent>(line.component),
        message: &message,
        host: &line.host,
        replica: &line.replica,
        run: (line.run > 0).then_some(line.run),
        partial: line.partial,
    };
    serde_json::to_string(&json).unwrap_or_default()
}

/// The line without anything that a terminal would obey; indentation stays.
fn harmless(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let shown = text.chars().map(|c| match c {
        '\t' => '\t',
        c if c.is_control() => '\u{fffd}',
        c => c,
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    fn line(message: &[u8]) -> LogLine {
        LogLine {
            at_ns: 1_763_903_405_000_000_001,
            component: LogComponent::Stdout.into(),
            level: LogLevel::Event.into(),
            component_word: String::new(),
            level_word: String::new(),
            cluster: "demo".to_owned(),
            service: "hello".to_owned(),
            instance: "main".to_owned(),
            host: "h1".to_owned(),
            replica: "r7".to_owned(),
            run: 2,
            message: message.to_vec(),
            partial: false,
        }
    }

    fn shown(form: Form, lines: Vec<LogLine>) -> String {
        let mut shown = Lines::new(form, view_80());
        let mut text = shown.take(lines);
        text.extend(shown.finish());
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn lines_have_paastas_form_and_nothing_a_terminal_obeys() {
        let said = line(b"  a\tb\x1b[2J\xff\r");
        let text = shown(Form::Text { verbose: false }, vec![said.clone()]);
        let wanted =
            "2025-11-23 13:10:05 [stdout] [demo] [main] - [event]   a\tb\u{fffd}[2J\u{fffd}\n";
        assert_eq!(text, wanted);
        let text = shown(Form::Text { verbose: true }, vec![said.clone()]);
        assert!(text.contains(" [main] [h1 r7-2] - "), "{text}");
        let event = LogLine {
            host: String::new(),
            ..said
        };
        let text = shown(Form::Text { verbose: true }, vec![event]);
        assert!(text.contains(" [main] - "), "{text}");
    }

    #[test]
    fn json_has_paastas_keys_and_raw_the_bytes() {
        let text = shown(Form::Json, vec![line(b"a\"\xff")]);
        let wanted = "{\"timestamp\":\"2025-11-23T13:10:05.000000001Z\",\"level\":\"event\",\
             \"cluster\":\"demo\",\"service\":\"hello\",\"instance\":\"main\",\
             \"component\":\"stdout\",\"message\":\"a\\\"\u{fffd}\",\"host\":\"h1\",\
             \"replica\":\"r7\",\"run\":2}\n";
        assert_eq!(text, wanted);
        let mut raw = Lines::new(Form::Raw, view_80());
        assert_eq!(raw.take(vec![line(b"\xff\0\r")]), b"\xff\0\r\n");
    }

    #[test]
    fn parts_are_put_together_whatever_comes_between_up_to_a_bound() {
        let part = |message: &[u8]| LogLine {
            partial: true,
            ..line(message)
        };
        let other = LogLine {
            component: LogComponent::Stderr.into(),
            ..line(b"x")
        };
        let text = shown(Form::Raw, vec![part(b"a"), other, part(b"b"), line(b"c")]);
        assert_eq!(text, "x\nabc\n");
        // What is shown in more than one line says so, and what ends whole does not.
        let long = vec![b'y'; LINE_MAX];
        let text = shown(
            Form::Json,
            vec![part(&long), part(b"a"), line(b"b"), part(b"c")],
        );
        let marked: Vec<bool> = text
            .lines()
            .map(|line| line.contains("\"partial\":true"))
            .collect();
        assert_eq!(marked, [true, false, true]);
        assert_eq!(shown(Form::Raw, vec![part(b"torn")]), "torn\n");
        let large = vec![b'y'; LINE_MAX / 2];
        let text = shown(Form::Raw, vec![part(&large), part(&large), line(b"z")]);
        assert_eq!(
            text.lines().map(str::len).collect::<Vec<_>>(),
            [LINE_MAX, 1]
        );
    }
}
