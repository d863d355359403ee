//! The fields of a log line, masked one by one: what turnout itself writes between them (names of fields, the quotes around
//! a value, the time, the level) is nobody's secret, whatever a commit calls one.
//!
//! Which secrets are looked for depends on the line. One that names its repository (field `repo`) is masked with that
//! project's and the daemon's. One that names none has nothing of a project in its message; what it quotes, an error say,
//! stands in a field, and that is masked with the secrets of all. So whoever pushes to one repository cannot blot words out
//! of another's lines, nor out of the daemon's.

use std::fmt::{self, Debug};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

use crate::report::redact::{Redactor, escape_lines};

/// The field that names the repository, as in `repos.yaml`.
const REPO: &str = "repo";
/// Fields in which nothing of a project is quoted: what a delivery says of itself, the daemon's own files and addresses, and
/// what a line of JSON has besides. Who pushed, and from where, no pusher can blot out.
const OURS: &[&str] = &[
    REPO,
    "timestamp",
    "level",
    "target",
    "event",
    "delivery",
    "forge",
    "git_ref",
    "pusher",
    "source",
    "effect",
    "file",
    "address",
    "socket",
    "endpoint",
    "api",
    "version",
    "copy",
    "change",
];

/// What masks the fields of one line.
struct Masks {
    quoted: Redactor,
    message: Redactor,
    ours: Redactor,
}

impl Masks {
    fn new(redactor: &Redactor, repo: Option<&str>) -> Masks {
        let (quoted, ours) = (redactor.about(repo), redactor.own());
        let message = if repo.is_some_and(|repo| !repo.is_empty()) { quoted.clone() } else { ours.clone() };
        Masks { quoted, message, ours }
    }

    fn of(&self, field: &str) -> &Redactor {
        match field {
            "message" => &self.message,
            ours if OURS.contains(&ours) => &self.ours,
            _ => &self.quoted,
        }
    }
}

/// The fields of a line of JSON, masked.
pub(super) fn masked_json(fields: Value, redactor: &Redactor) -> Value {
    let Value::Object(fields) = fields else { return redactor.redact_json(fields) };
    let masks = Masks::new(redactor, fields.get(REPO).and_then(Value::as_str));
    fields
        .into_iter()
        .map(|(name, value)| {
            let value = masks.of(&name).redact_json(value);
            (name, value)
        })
        .collect()
}

/// Writes the fields of a line of text as `message name=value …`, masked.
pub(super) struct MaskedFields(pub(super) Redactor);

impl<'w> FormatFields<'w> for MaskedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut named = Named(None);
        fields.record(&mut named);
        let masks = Masks::new(&self.0, named.0.as_deref());
        let mut line = Line { writer, masks, begun: false, written: Ok(()) };
        fields.record(&mut line);
        line.written
    }
}

/// Finds the repository among the fields.
struct Named(Option<String>);

impl Visit for Named {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == REPO {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == REPO {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

/// Writes the fields of one line.
struct Line<'w> {
    writer: Writer<'w>,
    masks: Masks,
    begun: bool,
    written: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, name: &str, value: &str) -> fmt::Result {
        if std::mem::replace(&mut self.begun, true) {
            self.writer.write_char(' ')?;
        }
        if name != "message" {
            match self.writer.has_ansi_escapes() {
                true => write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
                false => write!(self.writer, "{name}=")?,
            }
        }
        // What comes from outside moves no cursor; mistakes of a file stand on lines of their own.
        self.writer.write_str(&escape_lines(value))
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = field.name();
        let value = self.masks.of(name).redact(value).into_owned();
        let value = if name == "message" { value } else { format!("{value:?}") };
        self.written = self.written.and_then(|()| self.write(name, &value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let name = field.name();
        // What the crate `log` adds of itself is no field of the line.
        if name.starts_with("log.") {
            return;
        }
        let value = format!("{value:?}");
        let value = self.masks.of(name).redact(&value).into_owned();
        self.written = self.written.and_then(|()| self.write(name, &value));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What these events look like as text.
    fn text(redactor: &Redactor, events: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().with_target(false).with_ansi(false).without_time();
        let layer = layer.fmt_fields(MaskedFields(redactor.clone())).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// One repository's commit calls words of turnout's own secret, and the other's name.
    fn hostile() -> Redactor {
        let redactor = Redactor::new();
        redactor.add("of-the-daemon");
        redactor.of("shop").add_all(&["deployment", "started", "repo=\"blog\"", "198.51.100.7", "exited (1)", "INFO "]);
        redactor.of("blog").add_all(&["hunter22"]);
        redactor
    }

    #[test]
    fn a_line_is_masked_with_the_secrets_of_its_repository() {
        let lines = text(&hostile(), || {
            tracing::info!(repo = "blog", deployment = 7, source = "web", "started hunter22 of-the-daemon: exited (1)");
            tracing::info!(repo = "shop", deployment = 8, "started hunter22 of-the-daemon: exited (1)");
            tracing::warn!(source = "198.51.100.7", repo = "", "a delivery was refused: deployment");
            tracing::warn!(repo = "elsewhere", pusher = "ann", "deployment: not configured here");
            tracing::error!(error = "hunter22 of-the-daemon\u{1b}[0m", "the deployment's end is not recorded");
            tracing::error!("two\nlines of-the-daemon, token=abcdefgh");
        });
        assert_eq!(
            lines,
            [
                r#" INFO started [redacted] [redacted]: exited (1) repo="blog" deployment=7 source="web""#,
                r#" INFO [redacted] hunter22 [redacted]: [redacted] repo="shop" deployment=8"#,
                r#" WARN a delivery was refused: deployment source="198.51.100.7" repo="""#,
                r#" WARN deployment: not configured here repo="elsewhere" pusher="ann""#,
                r#"ERROR the deployment's end is not recorded error="[redacted] [redacted]\u{1b}[0m""#,
                "ERROR two",
                "lines [redacted], token=[redacted]",
            ]
        );
    }

    #[test]
    fn so_is_a_line_of_json() {
        let redactor = hostile();
        let masked = |text: &str| masked_json(serde_json::from_str(text).unwrap(), &redactor).to_string();
        for (line, expected) in [
            (
                r#"{"level":"INFO","message":"started hunter22","repo":"blog","deployment":2}"#,
                r#"{"level":"INFO","message":"started [redacted]","repo":"blog","deployment":2}"#,
            ),
            (
                r#"{"level":"INFO","message":"started hunter22","repo":"shop","deployment":2}"#,
                r#"{"level":"INFO","message":"[redacted] hunter22","repo":"shop","deployment":2}"#,
            ),
            (
                r#"{"message":"a deployment of-the-daemon","error":["hunter22"],"source":"198.51.100.7"}"#,
                r#"{"message":"a deployment [redacted]","error":["[redacted]"],"source":"198.51.100.7"}"#,
            ),
        ] {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(masked(line), expected.to_string());
        }
    }
}
