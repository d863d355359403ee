//! Small files of settings in git's format that came with a commit (`.gitmodules`, `.lfsconfig`), read without the includes
//! that libgit2 would follow: to any file of this machine, ten deep, and to a pipe that never ends.

/// A setting: its name with section and key in small letters, as git says it (`submodule.Lib.path`), and its value.
pub(super) type Setting = (String, String);

/// All settings, in their order. What is no setting is passed over; `include` is one like any other.
pub(super) fn settings(text: &[u8]) -> Vec<Setting> {
    let text = String::from_utf8_lossy(text);
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(&text).chars().peekable();
    let mut section = String::new();
    let mut found = Vec::new();
    while let Some(letter) = rest.next() {
        match letter {
            '[' => section = header(&mut rest),
            '#' | ';' => while rest.next_if(|letter| *letter != '\n').is_some() {},
            _ if letter.is_whitespace() => {}
            _ => {
                let mut key = letter.to_string();
                while let Some(letter) = rest.next_if(|letter| !matches!(letter, '=' | '\n' | '#' | ';')) {
                    key.push(letter);
                }
                // A key alone is a yes.
                let value = if rest.next_if_eq(&'=').is_some() { value(&mut rest) } else { "true".to_owned() };
                found.push((format!("{section}.{}", key.trim().to_ascii_lowercase()), value));
            }
        }
    }
    found
}

type Letters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

/// `name "subsection"]`, up to its end or that of the line. A subsection keeps its letters.
fn header(rest: &mut Letters<'_>) -> String {
    let (mut out, mut quoted) = (String::new(), false);
    while let Some(letter) = rest.next_if(|letter| *letter != '\n') {
        match letter {
            '"' if quoted => quoted = false,
            '"' => {
                quoted = true;
                out.push('.');
            }
            '\\' if quoted => out.extend(rest.next_if(|letter| *letter != '\n')),
            ']' if !quoted => break,
            _ if quoted => out.push(letter),
            _ if letter.is_whitespace() => {}
            _ => out.push(letter.to_ascii_lowercase()),
        }
    }
    out
}

/// What follows the sign, up to the end of the line: quotes and escapes taken away, spaces at its ends and comments left out.
fn value(rest: &mut Letters<'_>) -> String {
    let (mut out, mut quoted, mut kept) = (String::new(), false, 0);
    while let Some(letter) = rest.next() {
        match letter {
            '\n' => break,
            '"' => quoted = !quoted,
            '#' | ';' if !quoted => {
                while rest.next_if(|letter| *letter != '\n').is_some() {}
                continue;
            }
            '\\' => match rest.next() {
                // The line goes on; on other systems it ends with two letters.
                Some('\n') => continue,
                Some('\r') if rest.next_if_eq(&'\n').is_some() => continue,
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('b') => out.push('\u{8}'),
                Some(other) => out.push(other),
                None => break,
            },
            _ if letter.is_whitespace() && !quoted => {
                if !out.is_empty() {
                    out.push(letter);
                }
                continue;
            }
            _ => out.push(letter),
        }
        kept = out.len();
    }
    out.truncate(kept);
    out
}

/// The last value of a setting that is not empty.
pub(super) fn last(text: &[u8], name: &str) -> Option<String> {
    settings(text).into_iter().rev().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_git_reads_them() {
        let text = "\u{feff}; c\n[submodule \"Lib \\\"a\\\"\"]\n\tPath = lib/a ; why\r\n\turl=\"../x #1\" # c\n\
                    [LFS] url = a\\\n b\\t\"c;\"\n alone\n[a.B]c==d\n[submodule \"x]y\"] path = p\n\tempty =\n";
        let expected = [
            ("submodule.Lib \"a\".path", "lib/a"),
            ("submodule.Lib \"a\".url", "../x #1"),
            ("lfs.url", "a b\tc;"),
            ("lfs.alone", "true"),
            ("a.b.c", "=d"),
            ("submodule.x]y.path", "p"),
            ("submodule.x]y.empty", ""),
        ];
        let expected: Vec<Setting> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(settings(text.as_bytes()), expected);
    }

    /// The same words as libgit2, which the rest of turnout asks.
    #[test]
    fn settings_are_read_as_libgit2_reads_them() {
        let texts = [
            "[submodule \"a\"]\npath = a\nurl = ../a.git\n",
            "[Submodule \"A b\"]\n  PATH =  a b  # c\n  url = \"x\\\\y\" \n",
            "[submodule \"q\\\"q\"]\npath = \" x \"\nupdate = none;c\n",
            "[submodule \"l\"]\nurl = one \\\n  two\npath=l\n",
        ];
        for text in texts {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("config");
            std::fs::write(&file, text).unwrap();
            let theirs = git2::Config::open(&file).unwrap();
            let mut entries = theirs.entries(None).unwrap();
            let mut found = Vec::new();
            while let Some(entry) = entries.next() {
                let entry = entry.unwrap();
                found.push((entry.name().unwrap().to_owned(), entry.value().unwrap().to_owned()));
            }
            let mut ours = settings(text.as_bytes());
            found.sort();
            ours.sort();
            assert_eq!(ours, found, "{text}");
        }
    }

    #[test]
    fn what_is_no_setting_ends() {
        for text in ["[", "[a \"", "a =\\", "[a]\nb", "=", "\\", "[a]\n\"\n", "]"] {
            settings(text.as_bytes());
        }
    }
}
