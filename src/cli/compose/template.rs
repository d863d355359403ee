//! `--format`: `table`, `json`, or a Go template over an object's fields.
//!
//! Of Go's template language: fields, `json`, `upper`, `lower`, `title`, `.Label "name"`, pipes, `range`, `if`, `else`,
//! `end`. Anything else is refused by name.

use std::{fmt::Write as _, iter::Peekable, vec};

use anyhow::{bail, ensure};
use serde_json::Value;

use super::table::table;

/// Deepest nesting of `range` and `if`.
const MAX_DEPTH: usize = 16;

/// How a listing is printed.
pub(super) struct Listing<'a> {
    /// Columns of the default table: field and title.
    pub columns: &'a [(&'a str, &'a str)],
    /// Titles of fields in tables of the user's; others have none, as in Docker.
    pub titles: &'a [(&'a str, &'a str)],
    /// Narrowest column.
    pub minimum: usize,
}

impl Listing<'_> {
    /// The rows (objects) in this format.
    ///
    /// # Errors
    /// A template that cannot be read, or that names a field the rows do not have.
    pub(super) fn print(&self, format: &str, rows: &[Value]) -> anyhow::Result<String> {
        let mut text = String::new();
        match format {
            "" | "table" => {
                let header: Vec<&str> = self.columns.iter().map(|(_, title)| *title).collect();
                let cell = |row: &Value, field: &str| plain(row.get(field).unwrap_or(&Value::Null));
                let cells: Vec<Vec<String>> =
                    rows.iter().map(|row| self.columns.iter().map(|(field, _)| cell(row, field)).collect()).collect();
                return Ok(table(&header, &cells, self.minimum, 3));
            }
            "json" => {
                for row in rows {
                    writeln!(text, "{row}")?;
                }
            }
            custom => {
                let in_table = custom.strip_prefix("table").filter(|rest| rest.starts_with([' ', '\t']));
                let source = in_table.unwrap_or(custom).trim().replace("\\t", "\t").replace("\\n", "\n");
                let template = parse(&source)?;
                let mut lines = Vec::new();
                for row in rows {
                    let mut line = String::new();
                    render(&template, row, row, &mut line)?;
                    lines.push(line);
                }
                if in_table.is_some() {
                    let titles: Value = self.titles.iter().map(|(f, t)| ((*f).to_owned(), Value::from(*t))).collect();
                    let mut header = String::new();
                    render_titles(&template, &titles, &mut header);
                    let header: Vec<&str> = header.split('\t').collect();
                    let cells: Vec<Vec<String>> =
                        lines.iter().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
                    return Ok(table(&header, &cells, self.minimum, 3));
                }
                for line in lines {
                    writeln!(text, "{line}")?;
                }
            }
        }
        Ok(text)
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Print(Pipe),
    Range(Pipe, Vec<Node>),
    If(Pipe, Vec<Node>, Vec<Node>),
}

/// A value, and what is done to it, first things first.
#[derive(Debug, Clone, PartialEq)]
struct Pipe {
    source: Source,
    functions: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// `.A.B`; none = `.`.
    Field(Vec<String>),
    /// `.Label "x"`.
    Label(String),
    /// `"text"`.
    Text(String),
}

const FUNCTIONS: [&str; 5] = ["json", "upper", "lower", "title", "len"];

enum Token {
    Text(String),
    Action(String),
}

fn parse(source: &str) -> anyhow::Result<Vec<Node>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((action, next)) = after.split_once("}}") else { bail!("--format: {{{{ without }}}} in {source:?}") };
        let trims = action.starts_with("- ");
        let before = if trims { before.trim_end() } else { before };
        tokens.push(Token::Text(before.to_owned()));
        tokens.push(Token::Action(action.trim_start_matches("- ").trim_end_matches(" -").trim().to_owned()));
        rest = if action.ends_with(" -") { next.trim_start() } else { next };
    }
    tokens.push(Token::Text(rest.to_owned()));
    let mut tokens = tokens.into_iter().peekable();
    let (nodes, end) = block(&mut tokens, 0)?;
    ensure!(end.is_empty(), "--format: {{{{{end}}}}} without a beginning");
    Ok(nodes)
}

/// Nodes up to `end` or `else`, which is returned; empty at the end of the text.
fn block(tokens: &mut Peekable<vec::IntoIter<Token>>, depth: usize) -> anyhow::Result<(Vec<Node>, String)> {
    ensure!(depth < MAX_DEPTH, "--format: nested more than {MAX_DEPTH} deep");
    let mut nodes = Vec::new();
    while let Some(token) = tokens.next() {
        let action = match token {
            Token::Text(text) => {
                if !text.is_empty() {
                    nodes.push(Node::Text(text));
                }
                continue;
            }
            Token::Action(action) => action,
        };
        match action.split_once(char::is_whitespace) {
            _ if action == "end" || action == "else" => return Ok((nodes, action)),
            Some(("range", over)) => {
                let (body, end) = block(tokens, depth + 1)?;
                ensure!(end == "end", "--format: {{{{range}}}} without {{{{end}}}}");
                nodes.push(Node::Range(pipe(over)?, body));
            }
            Some(("if", condition)) => {
                let (then, end) = block(tokens, depth + 1)?;
                let (otherwise, end) = if end == "else" { block(tokens, depth + 1)? } else { (Vec::new(), end) };
                ensure!(end == "end", "--format: {{{{if}}}} without {{{{end}}}}");
                nodes.push(Node::If(pipe(condition)?, then, otherwise));
            }
            _ => nodes.push(Node::Print(pipe(&action)?)),
        }
    }
    Ok((nodes, String::new()))
}

fn pipe(text: &str) -> anyhow::Result<Pipe> {
    let mut source = None;
    let mut functions = Vec::new();
    for part in text.split('|').map(str::trim) {
        let (word, argument) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        if let Some(known) = FUNCTIONS.iter().find(|known| **known == word) {
            functions.push(*known);
            if source.is_none() {
                source = Some(operand(argument.trim(), part)?);
            } else {
                ensure!(argument.is_empty(), "--format: {part:?} is not supported");
            }
        } else if source.is_none() {
            source = Some(operand(part, part)?);
        } else {
            bail!("--format: {word:?} is not supported (known: {})", FUNCTIONS.join(", "));
        }
    }
    match source {
        Some(source) => Ok(Pipe { source, functions }),
        None => bail!("--format: an empty {{{{}}}}"),
    }
}

fn operand(text: &str, whole: &str) -> anyhow::Result<Source> {
    let quoted = |text: &str| Some(text.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    if let Some(name) = text.strip_prefix(".Label ").and_then(|name| quoted(name.trim())) {
        return Ok(Source::Label(name));
    }
    if let Some(text) = quoted(text) {
        return Ok(Source::Text(text));
    }
    match text.strip_prefix('.') {
        Some(path) if path.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_') => {
            Ok(Source::Field(path.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect()))
        }
        _ => bail!(
            "--format: {whole:?} is not supported (known: .Field, .Label \"name\", {}, range, if, else, end)",
            FUNCTIONS.join(", ")
        ),
    }
}

fn render(nodes: &[Node], dot: &Value, row: &Value, out: &mut String) -> anyhow::Result<()> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(pipe) => out.push_str(&plain(&value(pipe, dot, row)?)),
            Node::Range(pipe, body) => match value(pipe, dot, row)? {
                Value::Array(items) => items.iter().try_for_each(|item| render(body, item, row, out))?,
                Value::Null => {}
                other => bail!("--format: range over {other}, which is no list"),
            },
            Node::If(pipe, then, otherwise) => {
                let told = match value(pipe, dot, row)? {
                    Value::Null => false,
                    Value::Bool(flag) => flag,
                    Value::Number(number) => number.as_f64() != Some(0.0),
                    Value::String(text) => !text.is_empty(),
                    Value::Array(items) => !items.is_empty(),
                    Value::Object(_) => true,
                };
                render(if told { then } else { otherwise }, dot, row, out)?;
            }
        }
    }
    Ok(())
}

fn value(pipe: &Pipe, dot: &Value, row: &Value) -> anyhow::Result<Value> {
    let mut value = match &pipe.source {
        Source::Text(text) => Value::from(text.as_str()),
        Source::Label(name) => {
            let labels = row.get("Labels").and_then(Value::as_str).unwrap_or_default();
            let found = labels.split(',').filter_map(|label| label.split_once('=')).find(|(key, _)| key == name);
            Value::from(found.map(|(_, value)| value).unwrap_or_default())
        }
        Source::Field(path) => {
            let mut at = dot;
            for name in path {
                at = match at.get(name) {
                    Some(next) => next,
                    None => {
                        let known = at.as_object().map(|o| o.keys().map(String::as_str).collect::<Vec<_>>());
                        bail!("--format: no field .{name} (known: {})", known.unwrap_or_default().join(", "));
                    }
                };
            }
            at.clone()
        }
    };
    for function in &pipe.functions {
        value = match *function {
            "json" => Value::from(value.to_string()),
            "upper" => Value::from(plain(&value).to_uppercase()),
            "lower" => Value::from(plain(&value).to_lowercase()),
            "len" => Value::from(value.as_array().map_or_else(|| plain(&value).len(), Vec::len)),
            _ => {
                let text = plain(&value);
                let mut letters = text.chars();
                Value::from(
                    letters.next().map(char::to_uppercase).into_iter().flatten().chain(letters).collect::<String>(),
                )
            }
        };
    }
    Ok(value)
}

/// The titles of the fields in the places of their values.
fn render_titles(nodes: &[Node], titles: &Value, out: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(Pipe { source: Source::Field(path), .. }) => {
                let title = path.first().and_then(|name| titles.get(name));
                out.push_str(&title.map(plain).unwrap_or_default());
            }
            Node::Print(Pipe { source: Source::Label(name), .. }) => out.push_str(name),
            Node::Print(_) | Node::Range(..) => {}
            Node::If(_, then, _) => render_titles(then, titles, out),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Listing<'_> = Listing {
        columns: &[("Name", "NAME"), ("State", "STATE")],
        titles: &[("Name", "NAME"), ("State", "STATE")],
        minimum: 8,
    };

    fn row() -> Value {
        serde_json::json!({
            "Name": "web-1", "State": "running", "Labels": "a=b,c.d=e",
            "Publishers": [{ "URL": "::", "PublishedPort": 80 }, { "URL": "0.0.0.0", "PublishedPort": 0 }],
        })
    }

    #[test]
    fn listings_are_printed_in_every_format() {
        for (format, text) in [
            ("table", "NAME    STATE\nweb-1   running\n"),
            ("table {{.State}}\\t{{.Name}}", "STATE     NAME\nrunning   web-1\n"),
            ("{{.Name}} is {{upper .State}}", "web-1 is RUNNING\n"),
            ("{{.State | title}}", "Running\n"),
            ("{{json .Name}} {{len .Publishers}}", "\"web-1\" 2\n"),
            ("{{.Label \"c.d\"}}", "e\n"),
            ("{{range .Publishers}}{{if .PublishedPort}}{{.URL}}{{else}}-{{end}};{{end}}", "::;-;\n"),
        ] {
            assert_eq!(LISTING.print(format, &[row()]).unwrap(), text, "{format}");
        }
        assert_eq!(LISTING.print("json", &[row()]).unwrap(), format!("{}\n", row()));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (format, told) in [
            ("{{.Nope}}", "no field .Nope (known: "),
            ("{{printf .Name}}", "\"printf .Name\" is not supported"),
            ("{{.Name", "without }}"),
            ("{{if .Name}}x", "{{if}} without {{end}}"),
            ("{{end}}", "without a beginning"),
            ("{{.Name | frob}}", "\"frob\" is not supported"),
        ] {
            let error = LISTING.print(format, &[row()]).unwrap_err().to_string();
            assert!(error.contains(told), "{format}: {error}");
        }
    }
}
