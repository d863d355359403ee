//! `--format`: `table`, `json`, or a Go template over an object's fields.
//!
//! Of Go's template language everything that a listing can use, with Docker's own functions; what is not known is
//! refused by name.

mod data;
mod eval;
mod parse;

use std::fmt::Write as _;

pub(super) use data::Data;
use parse::{Node, Operand, Pipe};
use turnout_report::table::table;

/// How a listing is printed.
pub(super) struct Listing<'a> {
    /// Columns of the default table: field and title.
    pub columns: &'a [(&'a str, &'a str)],
    /// Titles of fields in tables of the user's; others have none, as in Docker.
    pub titles: &'a [(&'a str, &'a str)],
    /// Least width of a column, in characters.
    pub minimum: usize,
}

impl Listing<'_> {
    /// The rows (records) in this format.
    ///
    /// # Errors
    /// A template that cannot be read, or that names a field the rows do not have.
    pub(super) fn print(&self, format: &str, rows: &[Data]) -> anyhow::Result<String> {
        let mut text = String::new();
        match format {
            "" | "table" => {
                let header: Vec<&str> = self.columns.iter().map(|(_, title)| *title).collect();
                let cell = |row: &Data, field: &str| row.get(field).map(Data::plain).unwrap_or_default();
                let cells: Vec<Vec<String>> =
                    rows.iter().map(|row| self.columns.iter().map(|(field, _)| cell(row, field)).collect()).collect();
                return Ok(table(&header, &cells, self.minimum, 3));
            }
            "json" => {
                for row in rows {
                    writeln!(text, "{}", serde_json::to_string(row)?)?;
                }
            }
            custom => {
                let in_table = custom.strip_prefix("table").filter(|rest| rest.starts_with([' ', '\t']));
                let source = in_table.unwrap_or(custom).trim().replace("\\t", "\t").replace("\\n", "\n");
                let template = parse::parse(&source)?;
                let lines = rows.iter().map(|row| eval::render(&template, row)).collect::<anyhow::Result<Vec<_>>>()?;
                if in_table.is_some() {
                    let mut header = String::new();
                    self.header(&template, &mut header);
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

    /// The titles of the fields in the places of their values.
    fn header(&self, nodes: &[Node], out: &mut String) {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(pipe) => out.push_str(&self.title(pipe).unwrap_or_default()),
                Node::If(_, then, _) | Node::With(_, then, _) => self.header(then, out),
                Node::Set(..) | Node::Range(..) => {}
            }
        }
    }

    /// Title of the first field in a pipe.
    fn title(&self, Pipe(calls): &Pipe) -> Option<String> {
        for call in calls {
            let mut is_label = false;
            for operand in call {
                let title = match operand {
                    Operand::Function("Label") => {
                        is_label = true;
                        None
                    }
                    // As Docker titles it: the last part of its name.
                    Operand::Literal(name) if is_label => {
                        name.plain().rsplit('.').next().map(|last| last.replace(['-', '_'], " "))
                    }
                    Operand::Field(path) | Operand::Variable(_, path) => {
                        let known = path.first().and_then(|name| self.titles.iter().find(|(field, _)| field == name));
                        Some(known.map(|(_, title)| (*title).to_owned()).unwrap_or_default())
                    }
                    Operand::Brackets(inner) => self.title(inner),
                    Operand::Literal(_) | Operand::Function(_) => None,
                };
                if title.is_some() {
                    return title;
                }
            }
        }
        None
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
    const ROW: &str = r#"{"Name":"web-1","State":"running","Labels":"a=b,d,c.d=e","ExitCode":3,"Publishers":[{"URL":"::","TargetPort":80,"PublishedPort":80},{"URL":"0.0.0.0","TargetPort":80,"PublishedPort":0}]}"#;

    fn row() -> Data {
        let labels = [("a", "b,d"), ("c.d", "e")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        serde_json::from_str::<Data>(ROW).unwrap().with_labels(labels.into())
    }

    #[test]
    fn listings_are_printed_in_every_format() {
        for (format, text) in [
            ("table", "NAME    STATE\nweb-1   running\n"),
            ("table {{.State}}\\t{{.Name}}", "STATE     NAME\nrunning   web-1\n"),
            ("table {{upper .State}}\\t{{.Label \"a\"}}", "STATE     a\nRUNNING   b,d\n"),
            ("table {{.Name}}\\t{{.Label \"c.d-e\"}}", "NAME    d e\nweb-1   \n"),
            ("{{.Name}} is {{upper .State}}", "web-1 is RUNNING\n"),
            ("{{.State | title}}", "Running\n"),
            ("{{json .Name}} {{len .Publishers}}", "\"web-1\" 2\n"),
            ("{{.Label \"c.d\"}} {{.Label \"a\"}} {{.Label \"none\"}}.", "e b,d .\n"),
            ("{{range .Publishers}}{{if .PublishedPort}}{{.URL}}{{else}}-{{end}};{{end}}", "::;-;\n"),
            ("{{.Publishers}}", "[{:: 80 80} {0.0.0.0 80 0}]\n"),
            ("{{json .Publishers}}", &format!("{}\n", &ROW[ROW.find('[').unwrap()..ROW.len() - 1])),
            ("{{json .}}", &format!("{ROW}\n")),
            ("json", &format!("{ROW}\n")),
            ("{{if eq .State \"exited\" \"running\"}}up{{else}}down{{end}}", "up\n"),
            ("{{if eq .ExitCode 0}}a{{else if gt .ExitCode 2}}b{{else}}c{{end}}", "b\n"),
            ("{{if and .Name (not .Publishers)}}a{{else}}b{{end}}", "b\n"),
            ("{{or .Label `x`}}", "error"),
            ("{{printf \"%-7s|%5s|%03d|%q\" .Name .State .ExitCode \"a\"}}", "web-1  |running|003|\"a\"\n"),
            ("{{.Name | printf \"%s %s\" .State}}", "running web-1\n"),
            ("{{join (split .Name \"-\") \"_\"}}{{slice .Name 0 3}}{{truncate .Name 2}}", "web_1webwe\n"),
            ("{{range $i, $p := .Publishers}}{{$i}}{{$p.URL}}{{$.Name}} {{end}}", "0::web-1 10.0.0.0web-1 \n"),
            ("{{$n := .Name}}{{with .State}}{{.}}{{$n}}{{end}}{{/* no */}}", "runningweb-1\n"),
            ("{{(index .Publishers 1) | json}}", "{\"URL\":\"0.0.0.0\",\"TargetPort\":80,\"PublishedPort\":0}\n"),
            ("a {{- .Name -}} b", "aweb-1b\n"),
        ] {
            let printed = LISTING.print(format, &[row()]);
            match text {
                "error" => assert!(printed.is_err(), "{format}: {printed:?}"),
                _ => assert_eq!(printed.unwrap(), text, "{format}"),
            }
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (format, told) in [
            ("{{.Nope}}", "no field .Nope (known: Name, State"),
            ("{{.Name.First}}", "no field .First"),
            ("{{template .Name}}", "\"template\" is not supported"),
            ("{{.Name", "without }}"),
            ("{{if .Name}}x", "{{if}} without {{end}}"),
            ("{{end}}", "without a beginning"),
            ("{{.Name | frob}}", "\"frob\" is not supported"),
            ("{{.Name |}}", "an empty command"),
            ("{{(.Name}}", "( without )"),
            ("{{\"x}}", "is not closed"),
            ("{{$x}}", "no variable $x"),
            ("{{lt .Name 1}}", "lt cannot compare"),
            ("{{printf \"%f\" .Name}}", "%f is not supported"),
            ("{{printf \"%99999999s\" .Name}}", "widths up to"),
            ("{{index .Publishers 7}}", "index 7 of a list of 2"),
            ("{{slice .Name 3 99}}", "slice out of"),
            (&format!("{}.Name{}", "{{".to_owned() + &"(".repeat(99), ")".repeat(99) + "}}"), "nested more than"),
        ] {
            let error = LISTING.print(format, &[row()]).unwrap_err().to_string();
            assert!(error.contains(told), "{format}: {error}");
        }
    }
}
