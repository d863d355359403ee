//! The printer of container lines: one column of names, each in a colour of its own.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use turnout_docker::LogLine;

/// Colours of names, one after the other.
const COLOURS: [u8; 12] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94, 31, 91];

/// Writes lines with the names of their containers before them.
pub(super) struct Printer {
    prefix: String,
    names: bool,
    colours: bool,
    times: bool,
    width: usize,
    colour_of: BTreeMap<String, u8>,
}

impl Printer {
    pub(super) fn new(project: &str, names: bool, colours: bool, times: bool) -> Printer {
        Printer { prefix: format!("{project}-"), names, colours, times, width: 0, colour_of: BTreeMap::new() }
    }

    /// Makes room for a container's name, and returns it as it is shown.
    pub(super) fn expect(&mut self, container: &str) -> String {
        let short = self.short(container).to_owned();
        self.width = self.width.max(short.chars().count());
        short
    }

    /// Writes what became of a container, on a line of its own.
    pub(super) fn status(&mut self, container: &str, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{} {text}", self.short(container))?;
        out.flush()
    }

    /// Writes a line that is no container's, in the column of their names; `Err` when the reader has gone.
    pub(super) fn note(&mut self, out: &mut impl Write, text: &str) -> io::Result<()> {
        let width = self.width;
        match (self.names, self.colours) {
            (false, _) => writeln!(out, "{text}")?,
            (true, true) => writeln!(out, "\u{1b}[92m{:width$}  ⦿ \u{1b}[0m{text}", "")?,
            (true, false) => writeln!(out, "{:width$}  ⦿ {text}", "")?,
        }
        out.flush()
    }

    /// Writes one line; `Err` when the reader has gone.
    pub(super) fn print(&mut self, out: &mut impl Write, line: &LogLine) -> io::Result<()> {
        let time = if self.times && !line.time.is_empty() { format!("{} ", line.time) } else { String::new() };
        let (container, mark) = (&line.container, "  | ");
        let text = format!("{time}{}", line.text);
        if !self.names {
            writeln!(out, "{text}")?;
            return out.flush();
        }
        let name = self.expect(container);
        let width = self.width;
        if self.colours {
            let next = COLOURS.get(self.colour_of.len() % COLOURS.len()).copied().unwrap_or(36);
            let colour = *self.colour_of.entry(name.clone()).or_insert(next);
            writeln!(out, "\u{1b}[{colour}m{name:width$}{mark}\u{1b}[0m{text}")?;
        } else {
            writeln!(out, "{name:width$}{mark}{text}")?;
        }
        out.flush()
    }

    fn short<'t>(&self, container: &'t str) -> &'t str {
        container.strip_prefix(&self.prefix).unwrap_or(container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_a_column() {
        let mut printer = Printer::new("shop", true, false, true);
        printer.expect("shop-database-1");
        let line = LogLine {
            container: "shop-web-1".into(),
            service: "web".into(),
            stderr: false,
            time: "2026-01-02T03:04:05.000000000Z".into(),
            text: "hello".into(),
        };
        let mut out = Vec::new();
        printer.print(&mut out, &line).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "web-1       | 2026-01-02T03:04:05.000000000Z hello\n");
    }
}
