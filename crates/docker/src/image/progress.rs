//! The output of a build as plain lines, and what of it has to be remembered: the step that fails, its last lines,
//! the image's ID. Pure.
//!
//! The classic builder sends text. BuildKit sends graph updates as protobuf (`moby.buildkit.v1.StatusResponse`),
//! which become the lines that `docker build --progress=plain` prints.

use std::collections::{BTreeMap, VecDeque};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;
use turnout_buildkit::protobuf::{Field, fields};
use turnout_report::cut_texts::CUT;

/// Lines kept for the message of a failure.
const TAIL_LINES: usize = 20;
/// Longest line that is passed on, in bytes; the rest of it is cut off.
const MAX_LINE: usize = 8 * 1024;
/// Most steps that are followed.
const MAX_STEPS: usize = 20_000;

/// Follows one build.
#[derive(Default)]
pub struct BuildLog {
    /// The image's ID, once told.
    pub image: Option<String>,
    /// The engine's error, once told.
    pub error: Option<String>,
    classic_step: Option<String>,
    classic_tail: VecDeque<String>,
    /// The unfinished last line of the classic builder's text.
    open: String,
    /// Last pull status told for each layer, so that progress bars become single lines.
    layers: BTreeMap<String, String>,
    steps: BTreeMap<String, Step>,
    failed: Option<String>,
    /// Caches that could not be read, and why.
    caches: Vec<String>,
}

#[derive(Default)]
struct Step {
    number: usize,
    name: String,
    announced: bool,
    ended: bool,
    open: String,
    tail: VecDeque<String>,
    /// Statuses of downloads told, each once when it begins and once when it ends.
    told: BTreeMap<String, bool>,
}

/// One message of the stream.
#[derive(Deserialize)]
struct Message {
    stream: Option<String>,
    status: Option<String>,
    id: Option<String>,
    aux: Option<Value>,
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
}

#[derive(Deserialize)]
struct ErrorDetail {
    message: Option<String>,
}

impl BuildLog {
    /// Takes one JSON message; returns lines to show. An unreadable message is an error: what it said could have been
    /// that the build failed.
    pub fn take(&mut self, message: &[u8]) -> Result<Vec<String>, String> {
        let message: Message = serde_json::from_slice(message)
            .map_err(|e| format!("the engine sent something that is not a build message: {e}"))?;
        let mut lines = Vec::new();
        if let Some(error) = message.error_detail.and_then(|detail| detail.message).or(message.error) {
            self.error = Some(error);
        }
        if let Some(text) = message.stream {
            self.text(&text, &mut lines);
        }
        match (message.id.as_deref(), message.aux) {
            (Some("moby.buildkit.trace"), Some(Value::String(encoded))) => {
                let bytes =
                    STANDARD.decode(encoded).map_err(|e| format!("the engine sent a damaged progress message: {e}"))?;
                self.graph(&bytes, &mut lines);
            }
            (_, Some(aux)) => {
                if let Some(id) = aux.get("ID").and_then(Value::as_str).filter(|id| id.starts_with("sha256:")) {
                    self.image = Some(id.to_owned());
                }
            }
            (id, None) => {
                if let Some(status) = message.status {
                    self.status(id.unwrap_or_default(), status, &mut lines);
                }
            }
        }
        Ok(lines)
    }

    /// Takes one graph update of BuildKit (`StatusResponse`); returns lines to show.
    pub fn update(&mut self, status: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        self.graph(status, &mut lines);
        lines
    }

    /// Caches that could not be read: the build goes on without them.
    pub fn lost_caches(&self) -> impl Iterator<Item = &str> {
        self.caches.iter().map(String::as_str)
    }

    /// The lines that never got an end.
    pub fn finish(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.line(open, &mut lines);
        }
        for step in self.steps.values_mut().filter(|step| !step.open.is_empty()) {
            let open = std::mem::take(&mut step.open);
            lines.push(format!("#{} {open}", step.number));
        }
        lines
    }

    /// The step that failed, in the builder's words.
    pub fn failing_step(&self) -> Option<String> {
        match &self.failed {
            Some(digest) => self.steps.get(digest).map(|step| step.name.clone()),
            None => self.classic_step.clone(),
        }
    }

    /// The last lines of the step that failed.
    pub fn tail(&self) -> Vec<String> {
        let tail = match &self.failed {
            Some(digest) => self.steps.get(digest).map(|step| &step.tail),
            None => Some(&self.classic_tail),
        };
        tail.into_iter().flatten().cloned().collect()
    }

    fn text(&mut self, text: &str, lines: &mut Vec<String>) {
        for piece in text.split_inclusive('\n') {
            push_bounded(&mut self.open, piece.trim_end_matches(['\n', '\r']));
            if piece.ends_with('\n') {
                let line = std::mem::take(&mut self.open);
                self.line(line, lines);
            }
        }
    }

    fn line(&mut self, line: String, lines: &mut Vec<String>) {
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        if line.starts_with("Step ") && line.contains(" : ") {
            self.classic_step = Some(line.clone());
            self.classic_tail.clear();
        } else if !line.trim_start().starts_with("---> ") {
            push_tail(&mut self.classic_tail, &line);
        }
        lines.push(line);
    }

    /// A pull inside a build: each layer speaks when its state changes, not at every percent.
    fn status(&mut self, id: &str, status: String, lines: &mut Vec<String>) {
        let moving = matches!(
            status.as_str(),
            "Downloading" | "Extracting" | "Waiting" | "Verifying Checksum" | "Pulling fs layer"
        );
        if moving || (self.layers.len() >= MAX_STEPS && !self.layers.contains_key(id)) {
            return;
        }
        if self.layers.insert(id.to_owned(), status.clone()).as_ref() != Some(&status) {
            lines.push(if id.is_empty() { status } else { format!("{id}: {status}") });
        }
    }

    /// One graph update.
    fn graph(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        // What a step says comes after its name and before its end, although the engine tells ends first.
        for ends in [false, true] {
            for (number, field) in fields(bytes) {
                let Field::Bytes(body) = field else { continue };
                match number {
                    1 => self.vertex(body, ends, lines),
                    2 if !ends => self.vertex_status(body, lines),
                    3 if !ends => self.vertex_log(body, lines),
                    4 if !ends => self.vertex_warning(body, lines),
                    _ => {}
                }
            }
        }
    }

    fn step(&mut self, digest: String) -> Option<&mut Step> {
        let next = self.steps.len() + 1;
        if next > MAX_STEPS && !self.steps.contains_key(&digest) {
            return None;
        }
        let step = self.steps.entry(digest).or_default();
        if step.number == 0 {
            step.number = next;
        }
        Some(step)
    }

    /// A step's name when it begins; with `ends`, its end too.
    fn vertex(&mut self, body: &[u8], ends: bool, lines: &mut Vec<String>) {
        let (mut digest, mut name, mut error) = (String::new(), String::new(), String::new());
        let (mut cached, mut started, mut completed) = (false, None, None);
        for (number, field) in fields(body) {
            match (number, field) {
                (1, Field::Bytes(b)) => digest = text(b),
                (3, Field::Bytes(b)) => name = text(b),
                (4, Field::Varint(v)) => cached = v != 0,
                (5, Field::Bytes(b)) => started = Some(seconds(b)),
                (6, Field::Bytes(b)) => completed = Some(seconds(b)),
                (7, Field::Bytes(b)) => error = text(b),
                _ => {}
            }
        }
        let failed = !error.is_empty() && !error.contains("context canceled");
        if started.is_none() && !cached && error.is_empty() {
            return;
        }
        let Some(step) = self.step(digest.clone()) else { return };
        step.name = one_line(&name);
        if !step.announced {
            step.announced = true;
            lines.push(format!("#{} {}", step.number, step.name));
        }
        if step.ended || !ends {
            return;
        }
        let number = step.number;
        if failed {
            step.ended = true;
            if !step.open.is_empty() {
                let open = std::mem::take(&mut step.open);
                push_tail(&mut step.tail, &open);
                lines.push(format!("#{number} {open}"));
            }
            lines.push(format!("#{number} ERROR: {}", one_line(&error)));
            if name.starts_with("importing cache manifest from ") {
                self.caches.push(format!("{}: {}", one_line(&name), one_line(&error)));
            } else {
                self.failed.get_or_insert(digest);
            }
        } else if cached {
            step.ended = true;
            lines.push(format!("#{number} CACHED"));
        } else if let (Some(from), Some(to)) = (started, completed) {
            step.ended = true;
            lines.push(format!("#{number} DONE {:.1}s", (to - from).max(0.0)));
        }
    }

    fn vertex_status(&mut self, body: &[u8], lines: &mut Vec<String>) {
        let (mut id, mut digest, mut name) = (String::new(), String::new(), String::new());
        let (mut total, mut completed) = (0, false);
        for (number, field) in fields(body) {
            match (number, field) {
                (1, Field::Bytes(b)) => id = text(b),
                (2, Field::Bytes(b)) => digest = text(b),
                (3, Field::Bytes(b)) => name = text(b),
                (5, Field::Varint(v)) => total = v,
                (8, Field::Bytes(_)) => completed = true,
                _ => {}
            }
        }
        let Some(step) = self.step(digest) else { return };
        if step.told.len() >= MAX_STEPS
            || step.told.get(&id) == Some(&true)
            || (!completed && step.told.contains_key(&id))
        {
            return;
        }
        step.told.insert(id.clone(), completed);
        if completed {
            // The name is only the kind of what the identifier says in full: `transferring`, `transferring context:`.
            let what = if id.is_empty() { name } else { id };
            let size = if total > 0 { format!(" {:.1} MB", total as f64 / 1e6) } else { String::new() };
            lines.push(format!("#{} {}{size} done", step.number, one_line(&what)));
        }
    }

    fn vertex_log(&mut self, body: &[u8], lines: &mut Vec<String>) {
        let (mut digest, mut message) = (String::new(), String::new());
        for (number, field) in fields(body) {
            match (number, field) {
                (1, Field::Bytes(b)) => digest = text(b),
                (4, Field::Bytes(b)) => message = text(b),
                _ => {}
            }
        }
        let Some(step) = self.step(digest) else { return };
        for piece in message.split_inclusive('\n') {
            push_bounded(&mut step.open, piece.trim_end_matches(['\n', '\r']));
            if piece.ends_with('\n') {
                let line = std::mem::take(&mut step.open);
                push_tail(&mut step.tail, &line);
                lines.push(format!("#{} {line}", step.number));
            }
        }
    }

    fn vertex_warning(&mut self, body: &[u8], lines: &mut Vec<String>) {
        let (mut digest, mut short) = (String::new(), String::new());
        for (number, field) in fields(body) {
            match (number, field) {
                (1, Field::Bytes(b)) => digest = text(b),
                (3, Field::Bytes(b)) => short = text(b),
                _ => {}
            }
        }
        if let Some(step) = self.step(digest) {
            lines.push(format!("#{} WARNING: {}", step.number, one_line(&short)));
        }
    }
}

/// Seconds since 1970 of a `google.protobuf.Timestamp`.
fn seconds(body: &[u8]) -> f64 {
    let mut total = 0.0;
    for (number, field) in fields(body) {
        if let Field::Varint(v) = field {
            total += if number == 1 { v as f64 } else { v as f64 / 1e9 };
        }
    }
    total
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn one_line(text: &str) -> String {
    let mut line = String::new();
    push_bounded(&mut line, &text.replace(['\n', '\r'], " "));
    line
}

/// Appends, but never beyond [`MAX_LINE`], where [`CUT`] stands for the rest.
fn push_bounded(line: &mut String, more: &str) {
    // As little is left free where the sign was put.
    let full = line.len() + CUT.len_utf8() + 4 > MAX_LINE && line.ends_with(CUT);
    if full || more.is_empty() {
        return;
    }
    let room = (MAX_LINE - CUT.len_utf8()).saturating_sub(line.len());
    line.push_str(more.get(..more.floor_char_boundary(room)).unwrap_or_default());
    if more.len() > room {
        line.push(CUT);
    }
}

fn push_tail(tail: &mut VecDeque<String>, line: &str) {
    if line.trim().is_empty() {
        return;
    }
    if tail.len() >= TAIL_LINES {
        tail.pop_front();
    }
    tail.push_back(line.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use turnout_buildkit::protobuf::{put_bytes, put_varint};

    fn message(parts: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (number, part) in parts {
            put_bytes(&mut body, *number, part);
        }
        serde_json::json!({"id": "moby.buildkit.trace", "aux": STANDARD.encode(&body)}).to_string().into_bytes()
    }

    fn vertex(digest: &str, name: &str, times: &[(u64, u64)], error: &str, cached: bool) -> Vec<u8> {
        let mut body = Vec::new();
        put_bytes(&mut body, 1, digest.as_bytes());
        put_bytes(&mut body, 3, name.as_bytes());
        if cached {
            put_varint(&mut body, 4, 1);
        }
        for (number, at) in times {
            let mut stamp = Vec::new();
            put_varint(&mut stamp, 1, *at);
            put_bytes(&mut body, *number, &stamp);
        }
        if !error.is_empty() {
            put_bytes(&mut body, 7, error.as_bytes());
        }
        body
    }

    fn log(digest: &str, text: &str) -> Vec<u8> {
        let mut body = Vec::new();
        put_bytes(&mut body, 1, digest.as_bytes());
        put_bytes(&mut body, 4, text.as_bytes());
        body
    }

    #[test]
    fn buildkit_becomes_plain_lines_and_remembers_the_failure() {
        let mut build = BuildLog::default();
        let mut lines = Vec::new();
        for parts in [
            vec![(1, vertex("a", "[1/2] FROM scratch", &[], "", false))],
            vec![(1, vertex("a", "[1/2] FROM scratch", &[(5, 10)], "", true))],
            vec![(1, vertex("b", "[2/2] RUN false", &[(5, 10)], "", false)), (3, log("b", "one\ntw"))],
            vec![(3, log("b", "o\nlast"))],
            vec![(1, vertex("b", "[2/2] RUN false", &[(5, 10), (6, 12)], "exit code: 1", false))],
        ] {
            lines.extend(build.take(&message(&parts)).unwrap());
        }
        lines.extend(build.finish());
        assert_eq!(
            lines,
            [
                "#1 [1/2] FROM scratch",
                "#1 CACHED",
                "#2 [2/2] RUN false",
                "#2 one",
                "#2 two",
                "#2 last",
                "#2 ERROR: exit code: 1"
            ]
        );
        assert_eq!(build.failing_step().as_deref(), Some("[2/2] RUN false"));
        assert_eq!(build.tail(), ["one", "two", "last"]);
    }

    #[test]
    fn classic_text_keeps_the_step_and_the_image() {
        let mut build = BuildLog::default();
        let mut lines = Vec::new();
        for text in [
            r#"{"stream":"Step 1/2 : FROM x"}"#,
            r#"{"stream":"\n"}"#,
            r#"{"stream":" ---> 123\n"}"#,
            r#"{"status":"Downloading","id":"l1","progress":"1%"}"#,
            r#"{"status":"Pull complete","id":"l1"}"#,
            r#"{"stream":"Step 2/2 : RUN false\n"}"#,
            r#"{"stream":"oh no\n"}"#,
            r#"{"aux":{"ID":"sha256:abc"}}"#,
            r#"{"errorDetail":{"code":1,"message":"returned 1"},"error":"returned 1"}"#,
        ] {
            lines.extend(build.take(text.as_bytes()).unwrap());
        }
        assert_eq!(lines, ["Step 1/2 : FROM x", " ---> 123", "l1: Pull complete", "Step 2/2 : RUN false", "oh no"]);
        assert_eq!(build.failing_step().as_deref(), Some("Step 2/2 : RUN false"));
        assert_eq!(build.tail(), ["oh no"]);
        assert_eq!(build.error.as_deref(), Some("returned 1"));
        assert_eq!(build.image.as_deref(), Some("sha256:abc"));
    }

    #[test]
    fn garbage_is_an_error_not_silence() {
        assert!(BuildLog::default().take(b"<html>").is_err());
        assert!(BuildLog::default().take(br#"{"id":"moby.buildkit.trace","aux":"%%"}"#).is_err());
        let mut build = BuildLog::default();
        let _ = build.take(&message(&[(1, vec![0xff; 40]), (3, vec![0x0a, 0xff])]));
        let mut long = String::from(r#"{"stream":""#);
        long.push_str(&"é".repeat(20_000));
        long.push_str(r#"\n"}"#);
        let lines = build.take(long.as_bytes()).unwrap();
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE && line.ends_with("é…")) && !lines.is_empty());
        let _ = build.take(br#"{"stream":"short"}"#).unwrap();
        for _ in 0..3 {
            let more = format!(r#"{{"stream":"{}"}}"#, "x".repeat(MAX_LINE / 2 - 4));
            assert!(build.take(more.as_bytes()).unwrap().is_empty());
        }
        let lines = build.take(br#"{"stream":"y\n"}"#).unwrap();
        assert!(lines[0].ends_with("xx…") && lines[0].matches('…').count() == 1, "{lines:?}");
    }
}
