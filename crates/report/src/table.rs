//! Columns and times as the Docker command line prints them.

/// Rows under a header, each column as wide as its widest cell plus `padding`, at least `minimum`.
pub fn table(header: &[&str], rows: &[Vec<String>], minimum: usize, padding: usize) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = header.iter().map(|title| width(title)).collect();
    for row in rows {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = width(cell).max(*column);
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut cells = cells.zip(&widths).peekable();
        while let Some((cell, column)) = cells.next() {
            text.push_str(cell);
            if cells.peek().is_some() {
                let full = (column + padding).max(minimum);
                text.extend(std::iter::repeat_n(' ', full.saturating_sub(width(cell))));
            }
        }
        text.push('\n');
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// A span in words: `8 seconds`, `About an hour`, `3 weeks`.
pub fn span(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// A text cut to `most` characters, an ellipsis standing for the rest.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('\u{2026}');
    cut
}

/// A size as the Docker command line prints it: `1.98MB`.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "four digits are printed")]
    let mut value = bytes.max(0) as f64;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let digits = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed() {
        let rows = [vec!["a-long-name".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["NAME", "PORTS"], &rows, 10, 3), "NAME          PORTS\na-long-name   x\n");
        assert_eq!(table(&["NAME", "PORTS"], &[], 10, 3), "NAME      PORTS\n");
    }

    #[test]
    fn spans_read_as_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (1_560, "26 minutes"),
            (3_600, "About an hour"),
            (172_800, "2 days"),
            (2_000_000, "3 weeks"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn sizes_read_as_dockers() {
        for (bytes, text) in
            [(0, "0B"), (999, "999B"), (1_982_375, "1.98MB"), (25_000_000, "25MB"), (123_456_789, "123MB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
