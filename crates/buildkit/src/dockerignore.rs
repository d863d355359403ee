//! `.dockerignore`: which files of a build context are sent. Pure.
//!
//! Rules are those of Docker's own clients (moby/patternmatcher and its ignore-file reader), not those of gitignore:
//! patterns are anchored at the context's root, `**` crosses directories, the last pattern that matches decides, `!`
//! re-includes, and what is true of a directory is true of everything in it unless a later pattern says otherwise.

use regex::{Regex, RegexBuilder};

/// Largest ignore file that is read, in bytes. Bounds the work a hostile repository can cause.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Most patterns in one ignore file. Every file of the context is compared with each of them.
pub const MAX_PATTERNS: usize = 10_000;
/// Most wildcards in one ignore file. Each is a kilobyte or more of a matcher, and there are seldom more than two in a
/// pattern.
pub const MAX_WILDCARDS: usize = 20_000;
/// Bytes that a matcher remembers of what it has met, apart from what it is. There are as many as patterns.
const MATCHER_CACHE: usize = 16 << 10;

/// A parsed ignore file.
#[derive(Debug, Clone, Default)]
pub struct DockerIgnore {
    patterns: Vec<Pattern>,
}

/// Why an ignore file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// One pattern cannot be understood.
    #[error("line {line}: {pattern:?}: {problem}")]
    Pattern {
        /// Line, from 1.
        line: usize,
        /// The pattern as written.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file exceeds [`MAX_BYTES`], [`MAX_PATTERNS`] or [`MAX_WILDCARDS`].
    #[error(
        "is too long: at most {MAX_BYTES} bytes, {MAX_PATTERNS} patterns and {MAX_WILDCARDS} wildcards are read (write fewer \
         patterns)"
    )]
    TooLong,
}

/// What the patterns said of one path; needed to judge the paths below it.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// For each pattern, whether it matched here or above.
    matched: Vec<bool>,
    excluded: bool,
}

impl Judgement {
    /// Whether the path is left out.
    pub fn excluded(&self) -> bool {
        self.excluded
    }
}

impl DockerIgnore {
    /// Reads the text of an ignore file.
    ///
    /// A line that begins with `#` is a comment (leading space makes it a pattern); a byte-order mark is skipped;
    /// patterns are cleaned like paths and lose one leading `/`.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        if text.len() > MAX_BYTES {
            return Err(IgnoreError::TooLong);
        }
        let mut patterns = Vec::new();
        let mut wildcards = 0;
        for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let written = line.trim();
            if written.is_empty() {
                continue;
            }
            let refuse = |problem| IgnoreError::Pattern { line: index + 1, pattern: written.to_owned(), problem };
            let (exception, body) = match written.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, written),
            };
            if body.is_empty() {
                return Err(refuse("a lone `!` re-includes nothing"));
            }
            let cleaned = clean(body);
            let rooted = match cleaned.strip_prefix('/') {
                Some(rest) if !rest.is_empty() => rest,
                _ => cleaned.as_str(),
            };
            count_wildcards(rooted, &mut wildcards)?;
            patterns.push(Pattern::new(rooted, exception).map_err(refuse)?);
            if patterns.len() > MAX_PATTERNS {
                return Err(IgnoreError::TooLong);
            }
        }
        Ok(Self { patterns })
    }

    /// Patterns relative to a directory, for paths from the root on: those of `develop.watch`.
    ///
    /// # Errors
    /// A pattern that cannot be understood, with its place from 1 as the line.
    pub fn of_patterns<S: AsRef<str>>(directory: &str, patterns: &[S]) -> Result<Self, IgnoreError> {
        if patterns.len() > MAX_PATTERNS {
            return Err(IgnoreError::TooLong);
        }
        // The directory is meant as it is spelt.
        let escaped = |c: char| if matches!(c, '*' | '?' | '[' | '\\') { vec!['\\', c] } else { vec![c] };
        let directory: String = directory.chars().flat_map(escaped).collect();
        let mut read = Vec::new();
        let mut wildcards = 0;
        for (index, written) in patterns.iter().map(|pattern| pattern.as_ref().trim()).enumerate() {
            let (exception, body) = match written.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, written),
            };
            if body.is_empty() {
                continue;
            }
            let whole = if body.starts_with('/') { clean(body) } else { clean(&format!("{directory}/{body}")) };
            count_wildcards(&whole, &mut wildcards)?;
            let pattern = Pattern::new(whole.trim_start_matches('/'), exception);
            let refuse = |problem| IgnoreError::Pattern { line: index + 1, pattern: written.to_owned(), problem };
            read.push(pattern.map_err(refuse)?);
        }
        Ok(Self { patterns: read })
    }

    /// Whether the file at `relative_path` (separated by `/`, relative to the context's root) is left out.
    pub fn excludes(&self, relative_path: &str) -> bool {
        let path = clean(relative_path);
        let mut judgement = Judgement::default();
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            if let Some(part) = path.get(..end) {
                judgement = self.judge(part, &judgement);
            }
        }
        judgement.excluded
    }

    /// Judges one clean relative path, given the judgement of its parent directory (the default at the root).
    pub fn judge(&self, path: &str, parent: &Judgement) -> Judgement {
        let mut judgement = Judgement { matched: Vec::with_capacity(self.patterns.len()), excluded: false };
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut matches = parent.matched.get(index).copied().unwrap_or(false);
            // A pattern that could not change the verdict is not tried, so that it is not inherited either. This is
            // observable: Docker's clients behave the same.
            if !matches && pattern.exception == judgement.excluded {
                matches = pattern.matches(path);
            }
            judgement.matched.push(matches);
            if matches {
                judgement.excluded = !pattern.exception;
            }
        }
        judgement
    }

    /// Whether something below an excluded directory may still be sent, so that it has to be looked into.
    pub fn may_include_below(&self, directory: &str) -> bool {
        self.patterns.iter().filter(|p| p.exception).any(|p| {
            let wild = p.text.find(['*', '?', '[', '\\']);
            let fixed = wild.and_then(|at| p.text.get(..at)).unwrap_or(&p.text);
            // Compared up to the first wildcard: one is a prefix of the other.
            let below = format!("{directory}/");
            fixed.starts_with(&below) || (wild.is_some() && below.starts_with(fixed))
        })
    }

    /// The same as the classic builder's client understands it: only exceptions written out from the root count, so
    /// that `!**/x` brings nothing back from an excluded directory.
    pub fn may_include_below_literally(&self, directory: &str) -> bool {
        let below = format!("{directory}/");
        self.patterns.iter().any(|p| p.exception && format!("{}/", p.text).starts_with(&below))
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

/// One pattern, ready to match.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    exception: bool,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact,
    /// `foo**`: everything that begins with this.
    Prefix(String),
    /// `**foo`: everything that ends with this; `**/foo` also means `foo` itself.
    Suffix(String),
    Regex(Regex),
}

impl Pattern {
    fn new(text: &str, exception: bool) -> Result<Self, &'static str> {
        check_syntax(text)?;
        let matcher = compile(text)?;
        Ok(Self { text: text.to_owned(), exception, matcher })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => path == self.text,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/').is_some_and(|rest| rest == path)
            }
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }
}

/// Refuses what Docker's clients refuse: an unclosed or empty `[…]`, and a trailing backslash.
fn check_syntax(text: &str) -> Result<(), &'static str> {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => return Err("ends with a lone backslash"),
            '[' => {
                if chars.peek() == Some(&'^') {
                    chars.next();
                }
                let mut members = 0;
                loop {
                    match chars.next() {
                        None => return Err("`[` is never closed"),
                        Some(']') if members > 0 => break,
                        Some(']' | '-') => return Err("`[…]` is malformed"),
                        Some('\\') if chars.next().is_none() => return Err("ends with a lone backslash"),
                        Some(_) => members += 1,
                    }
                    if chars.peek() == Some(&'-') {
                        chars.next();
                        match chars.next() {
                            None | Some(']' | '-') => return Err("`[…]` holds an unfinished range"),
                            Some('\\') if chars.next().is_none() => return Err("ends with a lone backslash"),
                            Some(_) => {}
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn compile(text: &str) -> Result<Matcher, &'static str> {
    #[derive(PartialEq)]
    enum Kind {
        Exact,
        Prefix,
        Suffix,
        Regex,
    }
    let mut kind = Kind::Exact;
    let mut regex = String::from("^");
    let mut chars = text.chars().peekable();
    let mut first = true;
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '*' if !in_class && chars.peek() == Some(&'*') => {
                chars.next();
                if chars.peek() == Some(&'/') {
                    chars.next();
                }
                if chars.peek().is_none() {
                    if kind == Kind::Exact {
                        kind = Kind::Prefix;
                    } else {
                        regex.push_str(".*");
                        kind = Kind::Regex;
                    }
                } else {
                    regex.push_str("(?:.*/)?");
                    kind = Kind::Regex;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' if !in_class => {
                regex.push_str("[^/]*");
                kind = Kind::Regex;
            }
            '?' if !in_class => {
                regex.push_str("[^/]");
                kind = Kind::Regex;
            }
            '\\' => {
                if let Some(next) = chars.next() {
                    push_literal(&mut regex, next);
                    kind = Kind::Regex;
                }
            }
            '[' if !in_class => {
                in_class = true;
                regex.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    regex.push('^');
                }
                kind = Kind::Regex;
            }
            ']' if in_class => {
                in_class = false;
                regex.push(']');
            }
            '-' if in_class => regex.push('-'),
            other => push_literal(&mut regex, other),
        }
        first = false;
    }
    regex.push('$');
    Ok(match kind {
        Kind::Exact => Matcher::Exact,
        Kind::Prefix => Matcher::Prefix(text.strip_suffix("**").unwrap_or(text).to_owned()),
        Kind::Suffix => Matcher::Suffix(text.strip_prefix("**").unwrap_or(text).to_owned()),
        Kind::Regex => Matcher::Regex(matcher(&regex).map_err(|_| "cannot be turned into a matcher")?),
    })
}

/// Counts what makes a matcher large, before it is made.
fn count_wildcards(pattern: &str, counted: &mut usize) -> Result<(), IgnoreError> {
    *counted = counted.saturating_add(pattern.matches(['*', '?', '[']).count());
    if *counted > MAX_WILDCARDS { Err(IgnoreError::TooLong) } else { Ok(()) }
}

fn matcher(regex: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(regex).dfa_size_limit(MATCHER_CACHE).build()
}

fn push_literal(regex: &mut String, c: char) {
    if c.is_ascii_punctuation() && c != '/' && c != '_' {
        regex.push('\\');
    }
    regex.push(c);
}

/// Lexical path cleaning as Go's `filepath.Clean`: no doubled or trailing `/`, no `.`, `..` resolved where possible.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_a_directory_match_whole_paths() {
        let ignore = DockerIgnore::of_patterns("/p/[a]*", &["*.foo", "./ignored", "!kept.foo", "/abs/*"]).unwrap();
        for (path, excluded) in [
            ("p/[a]*/x.foo", true),
            ("p/[a]*/kept.foo", false),
            ("p/[a]*/ignored/deep", true),
            ("p/[a]*/sub/x.foo", false),
            ("p/ab/x.foo", false),
            ("abs/x", true),
        ] {
            assert_eq!(ignore.excludes(path), excluded, "{path}");
        }
        assert!(DockerIgnore::of_patterns("/p", &["["]).unwrap_err().to_string().contains("line 1"));
    }

    fn check(ignore: &str, sent: &[&str], left_out: &[&str]) {
        let parsed = DockerIgnore::parse(ignore).unwrap();
        for path in sent {
            assert!(!parsed.excludes(path), "{ignore:?} must not exclude {path}");
        }
        for path in left_out {
            assert!(parsed.excludes(path), "{ignore:?} must exclude {path}");
        }
    }

    #[test]
    fn patterns_are_anchored_and_do_not_cross_directories() {
        check("*.log", &["a/x.log", "x.logs", "a.log.txt"], &["x.log", ".log"]);
        check("a/*.log", &["x.log", "a/b/x.log"], &["a/x.log"]);
        check("temp?", &["temp", "a/tempa", "tempab"], &["tempa", "temp1/inside"]);
        check("*/temp*", &["temp", "a/b/temp"], &["a/temp", "a/temporary/x"]);
        check("/root.txt", &["a/root.txt"], &["root.txt"]);
        check("./a//b/", &["b"], &["a/b", "a/b/c"]);
        check("a/../b", &["a"], &["b"]);
        check("[a-c].txt", &["d.txt", "-.txt"], &["a.txt", "c.txt"]);
        check("[^a].txt", &["a.txt"], &["b.txt"]);
        check("a\\*b", &["axb"], &["a*b"]);
        check("a+(b)|{c}$", &["aab"], &["a+(b)|{c}$"]);
        check("Makefile", &["makefile"], &["Makefile"]);
        check("é*", &["e"], &["été"]);
    }

    #[test]
    fn double_star_crosses_directories() {
        check("**/*.log", &["x.txt"], &["x.log", "a/x.log", "a/b/c/x.log"]);
        check("**/node_modules", &["xnode_modules"], &["node_modules", "a/node_modules", "a/node_modules/b/c"]);
        check("a/**/z", &["z", "b/z"], &["a/z", "a/b/z", "a/b/c/z"]);
        check("a/**", &["a", "ab"], &["a/b", "a/b/c"]);
        check("**", &[], &["a", "a/b"]);
        check("**/", &[], &["a", "a/b"]);
        check("**foo", &["foox"], &["foo", "a/xfoo"]);
        check("a**", &["b"], &["a", "ab", "ab/c"]);
        check("**/a/**", &["a"], &["a/b", "x/a/b"]);
    }

    #[test]
    fn the_last_match_wins_and_directories_hand_down() {
        check("*\n!keep", &["keep", "keep/inside"], &["drop", "drop/keep"]);
        check("dir\n!dir/keep", &["dir/keep"], &["dir", "dir/other"]);
        check("*.md\n!README.md\nREADME.md", &[], &["README.md", "x.md"]);
        check("*.md\nREADME.md\n!README.md", &["README.md"], &["x.md"]);
        check("!keep\n*", &[], &["keep"]);
        check("a\n!a/b\na/b/c", &["a/b", "a/b/d"], &["a/x", "a/b/c"]);
        check("secret\n!**/public", &["secret/public", "secret/x/public"], &["secret/y"]);
        check("*\n!src/**\nsrc/**/*.tmp", &["src/a", "src/b/c"], &["src/b/c.tmp", "x"]);
        check("! spaced", &["spaced"], &[]);
        // The exception was not tried on `dir` itself, because nothing had excluded it there.
        check("dir/file\n!dir", &[], &["dir/file"]);
    }

    #[test]
    fn reading_the_file() {
        check("\u{feff}a\n#b\n  c  \n\n\r\nd\r\n", &["b", "#b"], &["a", "c", "d"]);
        check(" #x", &[], &["#x"]);
        check("", &["a"], &[]);
        check("/", &["a"], &[]);
        check(".", &["a"], &[]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, line) in [("a\n!", 2), ("[a", 1), ("x\n\ny\\", 3), ("[]", 1), ("[a-]", 1), ("!  ", 1)] {
            match DockerIgnore::parse(text) {
                Err(IgnoreError::Pattern { line: at, .. }) => assert_eq!(at, line, "{text:?}"),
                other => panic!("{text:?} gave {other:?}"),
            }
        }
        assert_eq!(DockerIgnore::parse(&"a\n".repeat(MAX_PATTERNS + 1)).unwrap_err(), IgnoreError::TooLong);
        // A pattern may have many wildcards, and there may be many with a few; not many with many.
        assert!(DockerIgnore::parse(&"*a".repeat(500)).is_ok());
        assert!(DockerIgnore::parse(&"*a?b\n".repeat(500)).is_ok());
        let many = format!("{}\n", "*a".repeat(2_000)).repeat(11);
        assert_eq!(DockerIgnore::parse(&many).unwrap_err(), IgnoreError::TooLong);
        let many = vec!["*a".repeat(2_000); 11];
        assert_eq!(DockerIgnore::of_patterns("/p", &many).unwrap_err(), IgnoreError::TooLong);
    }

    #[test]
    fn excluded_directories_are_entered_only_when_something_may_come_back() {
        for (ignore, directory, expected) in [
            ("a\n!a/b", "a", true),
            ("a\n!a/b/c", "a/b", true),
            ("a\n!ab/c", "a", false),
            ("a\n!b", "a", false),
            ("a\n!**/x", "a", true),
            ("a\n!a*/x", "a", true),
            ("a\n!b/*", "a", false),
            ("a", "a", false),
        ] {
            let parsed = DockerIgnore::parse(ignore).unwrap();
            assert_eq!(parsed.may_include_below(directory), expected, "{ignore:?} {directory}");
            let wild = ignore.contains("!**") || ignore.contains("!a*");
            assert_eq!(parsed.may_include_below_literally(directory), expected && !wild, "{ignore:?} {directory}");
        }
    }
}
