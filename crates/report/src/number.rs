//! Counts in words: `1 file`, `2 files`.

/// How many there are of what is named in the singular: `1 commit`, `3 commits`, `2 repositories`.
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    // What does not fit is surely more than one.
    let count = count.try_into().unwrap_or(u64::MAX);
    if count == 1 { format!("1 {one}") } else { format!("{count} {}", many(one)) }
}

/// The plural of a noun, or of words that end with one.
fn many(one: &str) -> String {
    let vowel = |letter: char| "aeiou".contains(letter);
    match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(vowel) => format!("{stem}ies"),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| one.ends_with(end)) => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one() {
        for (count, one, said) in [
            (0, "commit", "0 commits"),
            (1, "local commit", "1 local commit"),
            (2, "local commit", "2 local commits"),
            (1, "repository", "1 repository"),
            (2, "repository", "2 repositories"),
            (2, "day", "2 days"),
            (3, "branch", "3 branches"),
        ] {
            assert_eq!(counted(count, one), said);
        }
    }
}
