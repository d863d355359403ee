//! Prints one row by a template.

use std::{cmp::Ordering, fmt::Write as _};

use anyhow::{bail, ensure};

use super::{
    data::Data,
    parse::{Node, Operand, Pipe},
};

/// Widest field of `printf` and `pad`.
const MAX_WIDTH: usize = 10_000;

/// Writes what a template makes of a row.
///
/// # Errors
/// Fields that the row does not have, and functions that are given what they cannot take.
pub(super) fn render(nodes: &[Node], row: &Data) -> anyhow::Result<String> {
    let mut scope = Scope { row, variables: Vec::new() };
    let mut out = String::new();
    scope.write(nodes, row, &mut out)?;
    Ok(out)
}

struct Scope<'a> {
    row: &'a Data,
    /// The last of a name counts.
    variables: Vec<(String, Data)>,
}

impl Scope<'_> {
    fn write(&mut self, nodes: &[Node], dot: &Data, out: &mut String) -> anyhow::Result<()> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(pipe) => out.push_str(&self.value(pipe, dot)?.plain()),
                Node::Set(name, pipe) => {
                    let value = self.value(pipe, dot)?;
                    self.variables.push((name.clone(), value));
                }
                Node::If(condition, then, otherwise) => {
                    let told = self.value(condition, dot)?.is_true();
                    self.inner(if told { then } else { otherwise }, dot, Vec::new(), out)?;
                }
                Node::With(pipe, then, otherwise) => match self.value(pipe, dot)? {
                    value if value.is_true() => self.inner(then, &value, Vec::new(), out)?,
                    _ => self.inner(otherwise, dot, Vec::new(), out)?,
                },
                Node::Range(names, over, body, otherwise) => {
                    let items = match self.value(over, dot)? {
                        Data::List(items) => items,
                        Data::Null => Vec::new(),
                        other => bail!("--format: range over {:?}, which is no list", other.plain()),
                    };
                    if items.is_empty() {
                        self.inner(otherwise, dot, Vec::new(), out)?;
                    }
                    for (position, item) in (0_i64..).zip(&items) {
                        let values = match names.len() {
                            2 => vec![Data::Number(position), item.clone()],
                            _ => vec![item.clone()],
                        };
                        self.inner(body, item, names.iter().cloned().zip(values).collect(), out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A block: what is named in it is forgotten after it.
    fn inner(
        &mut self,
        nodes: &[Node],
        dot: &Data,
        named: Vec<(String, Data)>,
        out: &mut String,
    ) -> anyhow::Result<()> {
        let outer = self.variables.len();
        self.variables.extend(named);
        self.write(nodes, dot, out)?;
        self.variables.truncate(outer);
        Ok(())
    }

    fn value(&self, Pipe(calls): &Pipe, dot: &Data) -> anyhow::Result<Data> {
        let mut last = None;
        for call in calls {
            let Some((first, rest)) = call.split_first() else { bail!("--format: an empty command") };
            let mut arguments = rest.iter().map(|o| self.operand(o, dot)).collect::<anyhow::Result<Vec<_>>>()?;
            arguments.extend(last.take());
            last = Some(match first {
                Operand::Function("Label") => self.label(dot, &arguments)?,
                Operand::Function(name) => function(name, &arguments)?,
                other => {
                    ensure!(arguments.is_empty(), "--format: {:?} takes no arguments", other);
                    self.operand(other, dot)?
                }
            });
        }
        Ok(last.unwrap_or_default())
    }

    fn operand(&self, operand: &Operand, dot: &Data) -> anyhow::Result<Data> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Brackets(pipe) => self.value(pipe, dot),
            Operand::Field(path) => at(dot, path),
            Operand::Variable(name, path) if name.is_empty() => at(self.row, path),
            Operand::Variable(name, path) => match self.variables.iter().rev().find(|(own, _)| own == name) {
                Some((_, value)) => at(value, path),
                None => bail!("--format: no variable ${name}"),
            },
            Operand::Function("Label") => bail!("--format: .Label takes the name of a label"),
            Operand::Function(name) => function(name, &[]),
        }
    }

    fn label(&self, dot: &Data, arguments: &[Data]) -> anyhow::Result<Data> {
        let record = match (dot, self.row) {
            (Data::Record(record), _) | (_, Data::Record(record)) => record,
            _ => bail!("--format: no labels here"),
        };
        let [Data::Text(name)] = arguments else { bail!("--format: .Label takes the name of a label") };
        Ok(Data::Text(record.labels.get(name).cloned().unwrap_or_default()))
    }
}

fn at(value: &Data, path: &[String]) -> anyhow::Result<Data> {
    let mut at = value;
    for name in path {
        at = match (at.get(name), at) {
            (Some(next), _) => next,
            (None, Data::Record(record)) => {
                let known: Vec<&str> = record.fields.iter().map(|(name, _)| name.as_str()).collect();
                bail!("--format: no field .{name} (known: {})", known.join(", "));
            }
            (None, _) => bail!("--format: no field .{name} in {:?}", at.plain()),
        };
    }
    Ok(at.clone())
}

fn function(name: &str, arguments: &[Data]) -> anyhow::Result<Data> {
    let text = |value: &Data| Data::Text(value.plain());
    Ok(match (name, arguments) {
        ("and", [first, rest @ ..]) => rest.iter().fold(first, |a, b| if a.is_true() { b } else { a }).clone(),
        ("or", [first, rest @ ..]) => rest.iter().fold(first, |a, b| if a.is_true() { a } else { b }).clone(),
        ("not", [value]) => Data::Bool(!value.is_true()),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            let equal = rest.iter().map(|other| Ok(compared(name, first, other)? == Ordering::Equal));
            Data::Bool(equal.collect::<anyhow::Result<Vec<_>>>()?.contains(&true))
        }
        ("ne" | "lt" | "le" | "gt" | "ge", [a, b]) => {
            let order = compared(name, a, b)?;
            Data::Bool(match name {
                "ne" => order.is_ne(),
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            })
        }
        ("len", [Data::List(items)]) => number(items.len()),
        ("len", [Data::Text(text)]) => number(text.len()),
        ("len", [Data::Record(record)]) => number(record.fields.len()),
        ("index", [Data::List(items), Data::Number(place)]) => {
            match usize::try_from(*place).ok().and_then(|place| items.get(place)) {
                Some(item) => item.clone(),
                None => bail!("--format: index {place} of a list of {}", items.len()),
            }
        }
        ("slice", [Data::Text(text), bounds @ ..]) => match range(bounds, text.len())?.and_then(|r| text.get(r)) {
            Some(part) => Data::Text(part.to_owned()),
            None => bail!("--format: slice out of {text:?}"),
        },
        ("slice", [Data::List(items), bounds @ ..]) => match range(bounds, items.len())?.and_then(|r| items.get(r)) {
            Some(part) => Data::List(part.to_vec()),
            None => bail!("--format: slice out of a list of {}", items.len()),
        },
        ("print", values) => Data::Text(values.iter().map(Data::plain).collect::<Vec<_>>().join("")),
        ("println", values) => {
            Data::Text(format!("{}\n", values.iter().map(Data::plain).collect::<Vec<_>>().join(" ")))
        }
        ("printf", [Data::Text(format), values @ ..]) => Data::Text(printf(format, values)?),
        ("json", [value]) => Data::Text(serde_json::to_string(value)?),
        ("lower", [value]) => Data::Text(value.plain().to_lowercase()),
        ("upper", [value]) => Data::Text(value.plain().to_uppercase()),
        ("title", [value]) => {
            let mut before = ' ';
            let letters = value
                .plain()
                .chars()
                .flat_map(|c| {
                    let starts = !before.is_alphanumeric();
                    before = c;
                    if starts { c.to_uppercase().collect::<Vec<_>>() } else { vec![c] }
                })
                .collect();
            Data::Text(letters)
        }
        ("join", [Data::List(items), between]) => {
            Data::Text(items.iter().map(Data::plain).collect::<Vec<_>>().join(&between.plain()))
        }
        ("split", [value, between]) => match between.plain() {
            nothing if nothing.is_empty() => Data::List(value.plain().chars().map(|c| Data::Text(c.into())).collect()),
            between => Data::List(value.plain().split(&between).map(|part| Data::Text(part.to_owned())).collect()),
        },
        ("pad", [value, Data::Number(before), Data::Number(after)]) => match (spaces(*before), spaces(*after)) {
            (Some(before), Some(after)) if !value.plain().is_empty() => {
                Data::Text(format!("{before}{}{after}", value.plain()))
            }
            (Some(_), Some(_)) => text(value),
            _ => bail!("--format: pad takes numbers up to {MAX_WIDTH}"),
        },
        ("truncate", [value, Data::Number(most)]) => {
            let whole = value.plain();
            let most = usize::try_from(*most).unwrap_or(usize::MAX).min(whole.len());
            Data::Text(whole.get(..most).unwrap_or(&whole).to_owned())
        }
        _ => bail!(
            "--format: {name} does not take {}",
            arguments.iter().map(|a| format!("{:?}", a.plain())).collect::<Vec<_>>().join(", ")
        ),
    })
}

fn number(count: usize) -> Data {
    Data::Number(i64::try_from(count).unwrap_or(i64::MAX))
}

fn spaces(count: i64) -> Option<String> {
    Some(" ".repeat(usize::try_from(count).ok().filter(|count| *count <= MAX_WIDTH)?))
}

fn compared(name: &str, a: &Data, b: &Data) -> anyhow::Result<Ordering> {
    Ok(match (a, b) {
        (Data::Text(a), Data::Text(b)) => a.cmp(b),
        (Data::Number(a), Data::Number(b)) => a.cmp(b),
        (Data::Bool(a), Data::Bool(b)) => a.cmp(b),
        _ => bail!("--format: {name} cannot compare {:?} with {:?}", a.plain(), b.plain()),
    })
}

fn range(bounds: &[Data], whole: usize) -> anyhow::Result<Option<std::ops::Range<usize>>> {
    let of = |bound: &Data| match bound {
        Data::Number(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    let (from, to) = match bounds {
        [] => (Some(0), Some(whole)),
        [from] => (of(from), Some(whole)),
        [from, to] => (of(from), of(to)),
        _ => bail!("--format: slice takes two bounds"),
    };
    Ok(from.zip(to).map(|(from, to)| from..to))
}

/// `%s %v %d %q %t %%`, with a width and `-` or `0`.
fn printf(format: &str, values: &[Data]) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut flags = String::new();
        let verb = loop {
            match letters.next() {
                Some(c) if c == '-' || c.is_ascii_digit() => flags.push(c),
                Some(c) => break c,
                None => bail!("--format: printf {format:?} ends in the middle of a verb"),
            }
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = values.next() else { bail!("--format: printf {format:?} has more verbs than values") };
        let text = match verb {
            's' | 'v' | 'd' | 't' => value.plain(),
            'q' => serde_json::to_string(&value.plain())?,
            other => bail!("--format: printf verb %{other} is not supported (known: %s %v %d %q %t)"),
        };
        let (left, flags) = (flags.starts_with('-'), flags.trim_start_matches('-'));
        let width: usize = if flags.is_empty() { 0 } else { flags.parse().unwrap_or(usize::MAX) };
        ensure!(width <= MAX_WIDTH, "--format: printf takes widths up to {MAX_WIDTH}");
        match (left, flags.starts_with('0') && verb == 'd') {
            (true, _) => write!(out, "{text:<width$}")?,
            (false, true) => write!(out, "{text:0>width$}")?,
            (false, false) => write!(out, "{text:>width$}")?,
        }
    }
    ensure!(values.next().is_none(), "--format: printf {format:?} has fewer verbs than values");
    Ok(out)
}
