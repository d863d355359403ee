//! Commands written as one text (`command: echo hello`): split into words as compose-go splits them
//! (mattn/go-shellwords).

/// Splits a command as Compose does: quotes and backslashes as in a shell, no variables, no globs.
///
/// An unquoted `;`, `&`, `|`, `<` or `>` ends the command there: what follows is dropped, as Compose drops it.
///
/// # Errors
///
/// An unbalanced quote, backquote or parenthesis, or a trailing backslash.
pub fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_word = false;
    let (mut escaped, mut single, mut double, mut back, mut dollar) = (false, false, false, false, false);
    for character in line.chars() {
        if escaped {
            escaped = false;
            in_word = true;
            word.push(character);
            continue;
        }
        match character {
            '\\' if single => word.push('\\'),
            '\\' => escaped = true,
            ' ' | '\t' | '\r' | '\n' => {
                if single || double || back || dollar {
                    word.push(character);
                } else if in_word {
                    words.push(std::mem::take(&mut word));
                    in_word = false;
                }
            }
            '"' if !single && !dollar => {
                in_word |= double;
                double = !double;
            }
            '\'' if !double && !dollar => {
                in_word |= single;
                single = !single;
            }
            '(' if !single && !double && !back => {
                if dollar || !word.ends_with('$') {
                    return Err(unbalanced(line));
                }
                dollar = true;
                word.push('(');
            }
            ';' | '&' | '|' | '<' | '>' if !(single || double || back || dollar) => {
                // `2>`: the digit belongs to the redirection.
                if character == '>' && word.starts_with(|c: char| c.is_ascii_digit()) {
                    in_word = false;
                }
                break;
            }
            _ => {
                match character {
                    '`' if !single && !double && !dollar => back = !back,
                    ')' if !single && !double && !back => dollar = !dollar,
                    _ => {}
                }
                in_word = true;
                word.push(character);
            }
        }
    }
    if in_word {
        words.push(word);
    }
    if escaped || single || double || back || dollar {
        return Err(unbalanced(line));
    }
    Ok(words)
}

fn unbalanced(line: &str) -> String {
    format!("invalid command line '{line}': a quote or parenthesis is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_as_compose_does() {
        for (line, expected) in [
            ("", &[][..]),
            ("  a  b ", &["a", "b"]),
            ("sh -c 'x y' \"a\\tb\"", &["sh", "-c", "x y", "atb"]),
            ("a''b \"\" ''", &["ab", "", ""]),
            ("a\\ b 'c\\d'", &["a b", "c\\d"]),
            ("echo a && b", &["echo", "a"]),
            ("echo x2>y", &["echo", "x2"]),
            ("echo 2>y", &["echo"]),
            ("echo $(date +%s) `id -u`", &["echo", "$(date +%s)", "`id -u`"]),
            ("echo \"a;b\"", &["echo", "a;b"]),
        ] {
            assert_eq!(
                split_words(line).as_deref(),
                Ok(&expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
        for line in ["'", "a \"b", "a\\", "a (b)", "a `b", "a )"] {
            assert!(split_words(line).is_err(), "{line}");
        }
    }
}
