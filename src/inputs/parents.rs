//! What a build reads beside its contexts: the images that a Dockerfile builds upon, and what it fetches by address.

use std::collections::{BTreeMap, BTreeSet};

/// One stage: what it is built upon, and what it copies or mounts from.
#[derive(Debug, Default)]
struct Stage {
    name: String,
    from: String,
    reads: Vec<String>,
    fetches: Vec<String>,
}

/// What a build reads beside its contexts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parents {
    /// References of the images of `FROM`, `COPY --from` and `RUN --mount=from=`.
    pub images: BTreeSet<String>,
    /// Addresses that `ADD` fetches anew at each build, as written: those whose content neither a checksum nor a commit
    /// pins.
    pub fetched: BTreeSet<String>,
    /// Images whose names are made in a way that is not understood here, as written.
    pub unknown: BTreeSet<String>,
}

/// What the stages that lead to `target` (empty: the last) read. `args` are the build's arguments and what the builder
/// itself knows, see [`platform_args`]; `contexts` names that stand for something else. What cannot be understood names
/// no image: the build itself will say what is wrong.
pub fn parents(dockerfile: &str, args: &BTreeMap<String, String>, target: &str, contexts: &[&str]) -> Parents {
    let stages = stages(dockerfile, args);
    let find = |wanted: &str, before: usize| {
        let by_number = wanted.parse::<usize>().ok().filter(|number| *number < before);
        by_number.or_else(|| stages.iter().take(before).rposition(|stage| stage.name.eq_ignore_ascii_case(wanted)))
    };
    let last = stages.len().saturating_sub(1);
    let mut open = vec![if target.is_empty() { last } else { find(target, stages.len()).unwrap_or(last) }];
    let (mut done, mut found) = (BTreeSet::new(), Parents::default());
    while let Some(number) = open.pop() {
        let Some(stage) = stages.get(number).filter(|_| done.insert(number)) else { continue };
        found.fetched.extend(stage.fetches.iter().cloned());
        for (name, is_from) in std::iter::once((&stage.from, true)).chain(stage.reads.iter().map(|name| (name, false)))
        {
            let named = contexts.iter().any(|context| context.eq_ignore_ascii_case(name));
            match find(name, number) {
                _ if named || name.is_empty() => {}
                // A number is a stage for COPY, and an image for nobody.
                Some(stage) if !(is_from && name.parse::<usize>().is_ok()) => open.push(stage),
                _ if name == "scratch" => {}
                _ if name.contains('$') => drop(found.unknown.insert(name.clone())),
                _ => drop(found.images.insert(name.clone())),
            }
        }
    }
    found
}

/// The arguments that BuildKit knows by itself before the first `FROM`, for a build on `build` for `target`, each
/// `os/architecture[/variant]`.
pub fn platform_args(build: &str, target: &str) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
        let mut parts = platform.splitn(3, '/');
        args.insert(format!("{prefix}PLATFORM"), platform.to_owned());
        for part in ["OS", "ARCH", "VARIANT"] {
            args.insert(format!("{prefix}{part}"), parts.next().unwrap_or_default().to_owned());
        }
    }
    args
}

fn stages(dockerfile: &str, args: &BTreeMap<String, String>) -> Vec<Stage> {
    // What the builder knows by itself counts without an ARG.
    let known = |name: &str| ["BUILD", "TARGET"].iter().any(|prefix| name.starts_with(prefix));
    let mut values: BTreeMap<String, String> =
        args.iter().filter(|(name, _)| known(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut stages: Vec<Stage> = Vec::new();
    for line in instructions(dockerfile) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let words = || rest.split_whitespace();
        match word.to_ascii_uppercase().as_str() {
            // Only those before the first FROM count in it.
            "ARG" if stages.is_empty() => {
                for one in words() {
                    let (name, default) = one.split_once('=').map_or((one, None), |(n, d)| (n, Some(d)));
                    let default = default.map(|text| expand(text.trim_matches(['"', '\'']), &values));
                    if let Some(value) = args.get(name).cloned().or(default) {
                        values.insert(name.to_owned(), value);
                    }
                }
            }
            "FROM" => {
                let plain: Vec<&str> = words().filter(|word| !word.starts_with("--")).collect();
                let name = match plain.as_slice() {
                    [_, keyword, name, ..] if keyword.eq_ignore_ascii_case("as") => (*name).to_owned(),
                    _ => String::new(),
                };
                let from = expand(plain.first().copied().unwrap_or_default().trim_matches(['"', '\'']), &values);
                stages.push(Stage { name, from, ..Stage::default() });
            }
            "COPY" | "ADD" | "RUN" => {
                let Some(stage) = stages.last_mut() else { continue };
                for flag in words().take_while(|word| word.starts_with("--")) {
                    if let Some(from) = flag.strip_prefix("--from=") {
                        stage.reads.push(from.trim_matches(['"', '\'']).to_owned());
                    } else if let Some(mount) = flag.strip_prefix("--mount=") {
                        stage.reads.extend(mount.split(',').filter_map(from_of));
                    }
                }
                if word.eq_ignore_ascii_case("ADD") && !words().any(|flag| flag.starts_with("--checksum=")) {
                    let plain = words().map(|word| word.trim_matches(['[', ']', ',', '"']));
                    let sources = plain.filter(|word| !word.starts_with("--") && is_address(word) && !is_pinned(word));
                    stage.fetches.extend(sources.map(str::to_owned));
                }
            }
            _ => {}
        }
    }
    stages
}

/// The `from` of a mount; quotes may stand around the value, or the whole.
fn from_of(part: &str) -> Option<String> {
    let part = part.trim_matches(['"', '\'']);
    Some(part.strip_prefix("from=")?.trim_matches(['"', '\'']).to_owned())
}

/// Whether `ADD` fetches it: an HTTP address, or a Git one in either form.
fn is_address(word: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://"];
    let lower = word.to_ascii_lowercase();
    schemes.iter().any(|scheme| lower.starts_with(scheme)) || word.starts_with("git@")
}

/// Whether it names a commit of a Git repository in full: that never means another content.
fn is_pinned(word: &str) -> bool {
    let Some((_, fragment)) = word.split_once('#') else { return false };
    let commit = fragment.split(':').next().unwrap_or_default();
    matches!(commit.len(), 40 | 64) && commit.chars().all(|c| c.is_ascii_hexdigit())
}

/// Whether a Dockerfile has something in it that reads the repository of the build context: `.git` itself, or one of
/// git's questions about history. Programs that it starts may do so without its saying so.
pub fn reads_repository(dockerfile: &str) -> bool {
    const QUESTIONS: &[&str] = &["describe", "rev-parse", "rev-list", "log", "show", "status", "tag", "name-rev"];
    let folder = dockerfile.match_indices(".git").any(|(at, found)| {
        let before = dockerfile.get(..at).and_then(|text| text.chars().next_back());
        let after = dockerfile.get(at + found.len()..).and_then(|text| text.chars().next());
        // Neither `repo.git` nor `.gitignore`.
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && !after.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    });
    let mut words =
        dockerfile.split(|c: char| c.is_whitespace() || matches!(c, '(' | '`' | '"' | '\'' | ';' | '&' | '|'));
    let mut asks = false;
    let mut before = "";
    for word in words.by_ref().filter(|word| !word.is_empty()) {
        asks |= before == "git" && QUESTIONS.contains(&word);
        before = word;
    }
    folder || asks
}

/// Instructions, each on one line: without comments, continued lines joined, contents of here-documents left out.
fn instructions(text: &str) -> Vec<String> {
    let mut escape = '\\';
    let mut directives = true;
    let mut out = Vec::new();
    let mut current = String::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if let Some(comment) = trimmed.strip_prefix('#') {
            if directives
                && let Some((key, value)) = comment.split_once('=')
                && key.trim().eq_ignore_ascii_case("escape")
            {
                escape = value.trim().chars().next().unwrap_or('\\');
            }
            continue;
        }
        directives = false;
        if trimmed.is_empty() {
            continue;
        }
        if let Some(begun) = trimmed.strip_suffix(escape) {
            current.push_str(begun);
            current.push(' ');
            continue;
        }
        current.push_str(trimmed);
        for end in here_documents(&current) {
            for inner in lines.by_ref() {
                if inner.trim_start_matches('\t') == end {
                    break;
                }
            }
        }
        out.push(std::mem::take(&mut current));
    }
    if !current.is_empty() {
        out.push(current);
    }
    out
}

/// The words that end the here-documents of a RUN, COPY or ADD. Within quotes `<<` is text.
fn here_documents(line: &str) -> Vec<String> {
    let word = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if !matches!(word.as_str(), "RUN" | "COPY" | "ADD") {
        return Vec::new();
    }
    let documents = words_outside_quotes(line).into_iter().filter_map(|word| {
        let word = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let name = word.strip_prefix('-').unwrap_or(word).trim_matches(['"', '\'']);
        // As the builder has it: any word but one that begins another redirection.
        let plain = !name.is_empty() && !name.contains(['<', '>']);
        plain.then(|| name.to_owned())
    });
    documents.collect()
}

/// Words as a shell takes them: blanks within quotes part none, and the quotes stay.
fn words_outside_quotes(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut escaped) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"') | None, '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        if quote.is_none() && c.is_whitespace() && !escaped {
            words.push(std::mem::take(&mut word));
        } else {
            word.push(c);
        }
    }
    words.push(word);
    words
}

/// `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME-word}`, `${NAME:+word}` and `${NAME+word}`. A text with another form stays
/// as it is.
fn expand(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let length = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        if let Some(inner) = after.strip_prefix('{') {
            let Some(close) = closing(inner) else { return text.to_owned() };
            let (inner, tail) = inner.split_at(close);
            let (name, modifier) = inner.split_at(length(inner));
            let value = values.get(name).map(String::as_str);
            let filled = value.filter(|value| !value.is_empty());
            if let Some(word) = modifier.strip_prefix(":-") {
                out.push_str(&filled.map_or_else(|| expand(word, values), str::to_owned));
            } else if let Some(word) = modifier.strip_prefix('-') {
                out.push_str(&value.map_or_else(|| expand(word, values), str::to_owned));
            } else if let Some(word) = modifier.strip_prefix(":+") {
                out.push_str(&filled.map_or_else(String::new, |_| expand(word, values)));
            } else if let Some(word) = modifier.strip_prefix('+') {
                out.push_str(&value.map_or_else(String::new, |_| expand(word, values)));
            } else if modifier.is_empty() {
                out.push_str(value.unwrap_or_default());
            } else {
                // What newer builders cut off or replace: the text stays, and with it the `$` that says so.
                return text.to_owned();
            }
            rest = tail.strip_prefix('}').unwrap_or_default();
        } else {
            let (name, tail) = after.split_at(length(after));
            out.push_str(values.get(name).map(String::as_str).unwrap_or_default());
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}

/// Where the brace that is open closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_lead_to_the_target_are_found() {
        let table: Vec<(&str, &str, &[&str])> = vec![
            ("FROM alpine", "", &["alpine"]),
            ("# c\nfrom --platform=linux/amd64 acme/base:1 as x\nRUN a", "", &["acme/base:1"]),
            ("FROM scratch", "", &[]),
            ("ARG TAG=7\nARG IMG=acme/base:$TAG\nFROM ${IMG}", "", &["acme/base:8"]),
            ("ARG A\nFROM ${A:-x}${A:+y}${B-z}", "", &["xz"]),
            ("ARG A=${B:-${C:-q}}\nFROM $A", "", &["q"]),
            ("FROM a AS one\nFROM b AS two\nFROM one", "", &["a"]),
            ("FROM a AS one\nFROM b AS two\nFROM c", "two", &["b"]),
            ("FROM a AS one\nFROM b\nCOPY --from=one / /\nCOPY --chown=1 --from=c /x /x", "", &["a", "b", "c"]),
            ("FROM a\nFROM b\nCOPY --from=0 / /", "", &["a", "b"]),
            ("FROM a\nRUN --mount=type=bind,from=tools,target=/t x", "", &["a", "tools"]),
            ("FROM a\nRUN <<EOF\nFROM wrong\nEOF\nCOPY --from=b x y", "", &["a", "b"]),
            ("FROM a\nRUN echo \"usage: cat <<EOF\nx\" \nCOPY --from=b x y", "", &["a", "b"]),
            ("FROM a\nRUN cat <<'EOF' > \"a b\"\nCOPY --from=wrong\nEOF\nCOPY --from=\"b\" x y", "", &["a", "b"]),
            (
                "FROM a\nCOPY <<q.sql /q\nFROM users\nq.sql\nRUN <<END-SQL cat\nFROM x\nEND-SQL\nCOPY --from=b x y",
                "",
                &["a", "b"],
            ),
            ("FROM ${TAG#x}\nCOPY --from=b x y", "", &["b"]),
            ("FROM a\nRUN --mount=type=bind,from=\"tools\",target=/t x", "", &["a", "tools"]),
            ("FROM a\nRUN x \\\n# c\n  FROM wrong\n", "", &["a"]),
            ("# escape=`\nFROM `\n a", "", &["a"]),
            ("FROM named\nCOPY --from=NAMED x y", "", &[]),
            ("FROM base AS base\nFROM base", "", &["base"]),
            ("FROM base-$TARGETARCH$TARGETVARIANT:${BUILDOS}", "", &["base-armv7:linux"]),
            ("ARG TARGETARCH\nFROM --platform=$BUILDPLATFORM base-$TARGETARCH", "", &["base-arm"]),
            ("", "", &[]),
            ("COPY --from=x y z", "", &[]),
        ];
        let mut args = platform_args("linux/amd64", "linux/arm/v7");
        args.insert("TAG".to_owned(), "8".to_owned());
        for (text, target, expected) in table {
            let found: Vec<String> = parents(text, &args, target, &["named"]).images.into_iter().collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_fetched_by_address_is_found() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, expected) in [
            ("FROM a\nADD http://h/x /y", &["http://h/x"][..]),
            ("FROM a\nadd --chown=1:1 https://h/x HTTP://h/z /y/", &["HTTP://h/z", "https://h/x"]),
            ("FROM a\nADD [\"https://h/x\", \"/y\"]", &["https://h/x"]),
            ("FROM a\nADD git@h:r.git#v1 /y", &["git@h:r.git#v1"]),
            ("FROM a\nADD --checksum=sha256:0 https://h/x /y", &[]),
            (&format!("FROM a\nADD https://h/r.git#{commit}:sub /y"), &[]),
            ("FROM a AS one\nADD http://h/x /y\nFROM b\nADD local /y", &[]),
            ("FROM a\nCOPY http://h/x /y\nRUN curl http://h/x", &[]),
        ] {
            let found: Vec<String> = parents(text, &BTreeMap::new(), "", &[]).fetched.into_iter().collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn names_that_are_not_understood_are_told() {
        let args = [("TAG".to_owned(), "x-8".to_owned())].into();
        for (text, expected) in [("FROM a:${TAG#x-}", "a:${TAG#x-}"), ("FROM ${TAG/x/y}", "${TAG/x/y}")] {
            let found: Vec<String> = parents(text, &args, "", &[]).unknown.into_iter().collect();
            assert_eq!(found, [expected], "{text}");
        }
    }

    #[test]
    fn reading_the_repository_is_seen() {
        for (text, expected) in [
            ("COPY .git /src/.git", true),
            ("RUN cat .git/HEAD > /commit", true),
            ("RUN V=$(git describe --tags) make", true),
            ("RUN go build -ldflags=\"-X main.v=`git rev-parse HEAD`\"", true),
            ("COPY .gitignore .gitattributes /", false),
            ("RUN git clone https://h/r.git && apt-get install git", false),
            ("RUN npm ci # no git here", false),
        ] {
            assert_eq!(reads_repository(text), expected, "{text}");
        }
    }
}
