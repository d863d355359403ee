//! Reads a template into its pieces.

use std::{iter::Peekable, vec};

use anyhow::{bail, ensure};

use super::data::Data;

/// Deepest nesting of blocks and of brackets.
const MAX_DEPTH: usize = 16;

/// Functions of Go's templates and of Docker's.
pub(super) const FUNCTIONS: [&str; 24] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print", "printf", "println",
    "json", "join", "split", "lower", "upper", "title", "pad", "truncate", "Label",
];

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Print(Pipe),
    /// `$name := …` and `$name = …`.
    Set(String, Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    /// Names of the position and of the item.
    Range(Vec<String>, Pipe, Vec<Node>, Vec<Node>),
}

/// Calls, each with the result of the one before as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipe(pub Vec<Vec<Operand>>);

/// A function or a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Function(&'static str),
    /// `.A.B`; none = `.`.
    Field(Vec<String>),
    /// `$name.A.B`; an empty name is the row.
    Variable(String, Vec<String>),
    Literal(Data),
    Brackets(Box<Pipe>),
}

enum Piece {
    Text(String),
    Action(String),
}

/// Reads a template.
///
/// # Errors
/// What is not Go's template language, or not known here.
pub(super) fn parse(source: &str) -> anyhow::Result<Vec<Node>> {
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((action, next)) = after.split_once("}}") else { bail!("--format: {{{{ without }}}} in {source:?}") };
        let before = if action.starts_with("- ") { before.trim_end() } else { before };
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Action(action.trim_start_matches("- ").trim_end_matches(" -").trim().to_owned()));
        rest = if action.ends_with(" -") { next.trim_start() } else { next };
    }
    pieces.push(Piece::Text(rest.to_owned()));
    let mut pieces = pieces.into_iter().peekable();
    let (nodes, end) = block(&mut pieces, 0)?;
    ensure!(end.is_empty(), "--format: {{{{{end}}}}} without a beginning");
    Ok(nodes)
}

type Pieces = Peekable<vec::IntoIter<Piece>>;

/// Nodes up to `end` or `else`, which is returned; empty at the end of the text.
fn block(pieces: &mut Pieces, depth: usize) -> anyhow::Result<(Vec<Node>, String)> {
    ensure!(depth < MAX_DEPTH, "--format: nested more than {MAX_DEPTH} deep");
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                if !text.is_empty() {
                    nodes.push(Node::Text(text));
                }
                continue;
            }
            Piece::Action(action) => action,
        };
        if action.starts_with("/*") && action.ends_with("*/") {
            continue;
        }
        let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((&action, ""));
        match word {
            "end" | "else" => return Ok((nodes, action)),
            "if" | "with" | "range" => nodes.push(opened(word, rest, pieces, depth)?),
            _ => nodes.push(action_of(&action)?),
        }
    }
    Ok((nodes, String::new()))
}

/// `if`, `with` or `range`, to its end.
fn opened(word: &str, head: &str, pieces: &mut Pieces, depth: usize) -> anyhow::Result<Node> {
    let (body, end) = block(pieces, depth + 1)?;
    let otherwise = match end.strip_prefix("else").map(str::trim) {
        None if end == "end" => Vec::new(),
        None => bail!("--format: {{{{{word}}}}} without {{{{end}}}}"),
        Some("") => {
            let (nodes, end) = block(pieces, depth + 1)?;
            ensure!(end == "end", "--format: {{{{{word}}}}} without {{{{end}}}}");
            nodes
        }
        // `else if X` is an `if` in the `else`, with one end for both.
        Some(chained) => {
            let (inner, rest) = chained.split_once(char::is_whitespace).unwrap_or((chained, ""));
            ensure!(inner == word && word != "range", "--format: {{{{{end}}}}} is not supported");
            vec![opened(inner, rest, pieces, depth + 1)?]
        }
    };
    Ok(match word {
        "range" => {
            let (names, over) = match head.split_once(":=") {
                Some((names, over)) => (names.split(',').map(str::trim).collect(), over),
                None => (Vec::new(), head),
            };
            let names = names.into_iter().map(variable).collect::<anyhow::Result<Vec<_>>>()?;
            ensure!(names.len() <= 2, "--format: range has a position and an item, not more");
            Node::Range(names, pipe_of(over)?, body, otherwise)
        }
        "with" => Node::With(pipe_of(head)?, body, otherwise),
        _ => Node::If(pipe_of(head)?, body, otherwise),
    })
}

fn variable(text: &str) -> anyhow::Result<String> {
    match text.strip_prefix('$') {
        Some(name) if !name.is_empty() && name.chars().all(is_letter) => Ok(name.to_owned()),
        _ => bail!("--format: {text:?} is no variable"),
    }
}

fn action_of(action: &str) -> anyhow::Result<Node> {
    if action.starts_with('$')
        && let Some((name, value)) = action.split_once('=')
        && !name.contains(['"', '`', '('])
    {
        return Ok(Node::Set(variable(name.trim_end_matches(':').trim())?, pipe_of(value)?));
    }
    Ok(Node::Print(pipe_of(action)?))
}

fn pipe_of(text: &str) -> anyhow::Result<Pipe> {
    let mut words = Words { rest: text, whole: text };
    let pipe = words.pipe(0)?;
    ensure!(words.rest.is_empty(), "--format: {text:?} is not supported");
    Ok(pipe)
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What is left of an action.
struct Words<'a> {
    rest: &'a str,
    whole: &'a str,
}

impl Words<'_> {
    fn pipe(&mut self, depth: usize) -> anyhow::Result<Pipe> {
        ensure!(depth < MAX_DEPTH, "--format: nested more than {MAX_DEPTH} deep");
        let mut calls = vec![Vec::new()];
        loop {
            self.rest = self.rest.trim_start();
            match self.rest.chars().next() {
                None | Some(')') => break,
                Some('|') => {
                    self.rest = &self.rest[1..];
                    calls.push(Vec::new());
                }
                Some(_) => {
                    let operand = self.operand(depth)?;
                    if let Some(call) = calls.last_mut() {
                        call.push(operand);
                    }
                }
            }
        }
        ensure!(calls.iter().all(|call| !call.is_empty()), "--format: an empty command in {:?}", self.whole);
        Ok(Pipe(calls))
    }

    fn operand(&mut self, depth: usize) -> anyhow::Result<Operand> {
        let first = self.rest.chars().next().unwrap_or_default();
        match first {
            '(' => {
                self.rest = &self.rest[1..];
                let inner = self.pipe(depth + 1)?;
                match self.rest.strip_prefix(')') {
                    Some(rest) => self.rest = rest,
                    None => bail!("--format: ( without ) in {:?}", self.whole),
                }
                Ok(Operand::Brackets(Box::new(inner)))
            }
            '"' => self.quoted(),
            '`' => match self.rest[1..].split_once('`') {
                Some((text, rest)) => {
                    self.rest = rest;
                    Ok(Operand::Literal(Data::Text(text.to_owned())))
                }
                None => bail!("--format: ` is not closed in {:?}", self.whole),
            },
            '$' => {
                self.rest = &self.rest[1..];
                let name = self.name();
                Ok(Operand::Variable(name, self.fields()))
            }
            '.' => match self.fields() {
                path if path == ["Label"] => Ok(Operand::Function("Label")),
                path => Ok(Operand::Field(path)),
            },
            _ => self.word(),
        }
    }

    fn name(&mut self) -> String {
        let end = self.rest.find(|c| !is_letter(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name.to_owned()
    }

    /// `.A.B`, as far as it goes.
    fn fields(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            let name = self.name();
            if name.is_empty() {
                break;
            }
            path.push(name);
        }
        path
    }

    /// A function, a number, `true`, `false` or `nil`.
    fn word(&mut self) -> anyhow::Result<Operand> {
        let end =
            self.rest.find(|c: char| c.is_whitespace() || matches!(c, '|' | ')' | '(')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let operand = match word {
            "true" => Operand::Literal(Data::Bool(true)),
            "false" => Operand::Literal(Data::Bool(false)),
            "nil" => Operand::Literal(Data::Null),
            _ => match (FUNCTIONS.iter().find(|known| **known == word && word != "Label"), word.parse()) {
                (Some(known), _) => Operand::Function(known),
                (None, Ok(number)) => Operand::Literal(Data::Number(number)),
                (None, Err(_)) => bail!(
                    "--format: {word:?} is not supported (known: .Field, .Label \"name\", if, with, range, $variables, {})",
                    FUNCTIONS.join(", ")
                ),
            },
        };
        self.rest = rest;
        Ok(operand)
    }

    /// A text in quotes, whose escapes are those of JSON but for rare ones.
    fn quoted(&mut self) -> anyhow::Result<Operand> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else { bail!("--format: \" is not closed in {:?}", self.whole) };
        let (text, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        let whole = text.replace('\t', "\\t").replace('\n', "\\n");
        match serde_json::from_str(&whole) {
            Ok(text) => Ok(Operand::Literal(Data::Text(text))),
            Err(_) => bail!("--format: {text} is no text that can be read"),
        }
    }
}
