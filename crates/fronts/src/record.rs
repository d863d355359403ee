//! What turnout writes of itself into a file of another program: whose it is, and where it leads. One line of JSON.

use serde::{Deserialize, Serialize};

use crate::wanted::Led;

/// Version of what is written.
const VERSION: u32 = 1;
/// What a comment with it begins with.
const MARK: &str = "# turnout: ";

#[derive(Serialize, Deserialize)]
struct Record {
    turnout: u32,
    repository: String,
    #[serde(flatten)]
    led: Led,
}

/// The line. Names are words of letters, digits, `-`, `_` and `.`: nothing in it has to be escaped in nginx or YAML.
pub(crate) fn line(repository: &str, led: &Led) -> String {
    let record = Record { turnout: VERSION, repository: repository.to_owned(), led: led.clone() };
    // Names and numbers: nothing that could not be written.
    serde_json::to_string(&record).unwrap_or_default()
}

/// The line as a comment.
pub(crate) fn comment(repository: &str, led: &Led) -> String {
    format!("{MARK}{}", line(repository, led))
}

/// Whose a line is, and where it leads.
pub(crate) fn read(line: &str) -> Option<(String, Led)> {
    let record: Record = serde_json::from_str(line.trim()).ok()?;
    (record.turnout == VERSION).then_some((record.repository, record.led))
}

/// The same, from the comment in a file.
pub(crate) fn find(text: &str) -> Option<(String, Led)> {
    text.lines().find_map(|line| line.strip_prefix(MARK)).and_then(read)
}

/// Why a file may not be replaced: it is another repository's. `None`: it may, or it is nobody's.
pub(crate) fn others(text: &str, repository: &str) -> Option<String> {
    find(text).filter(|(of, _)| of != repository).map(|(of, _)| format!("is led for the repository {of}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wanted::LedColour;

    #[test]
    fn what_is_written_comes_back() {
        let blue = LedColour { name: "blue".to_owned(), generation: 7, weight: 100, partly: false };
        let led = Led { generation: 8, revision: 2, colours: vec![blue] };
        let text = format!("# by hand\n{}\nupstream {{}}\n", comment("shop", &led));
        assert_eq!(find(&text), Some(("shop".to_owned(), led.clone())));
        assert_eq!(read(&line("shop", &led).replace(":1,", ":2,")), None);
        assert_eq!(find("upstream {}"), None);
    }
}
