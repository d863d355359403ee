//! The word that was meant by one with a slip in it.

/// Nothing that is known is longer by far, and a distance costs the product of the lengths.
const LONGEST: usize = 64;

/// The candidate nearest to `word`, if it is near enough to be what was meant: case, and `-` for `_`, aside, and two letters
/// that were swapped are one slip.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let alike = |text: &str| text.to_lowercase().replace('-', "_");
    let word = alike(word);
    let slips = |known: &str| strsim::osa_distance(&word, &alike(known));
    let near = candidates.into_iter().map(|known| (slips(known), known));
    near.filter(|(slips, known)| *slips <= 1 + known.len() / 4).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_nothing_else() {
        let keys = ["path", "branch", "on_divergence", "compose_files"];
        for (word, expected) in [
            ("pth", Some("path")),
            ("paht", Some("path")),
            ("brnach", Some("branch")),
            ("on-divergence", Some("on_divergence")),
            ("Compose_File", Some("compose_files")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest(&"path".repeat(20), keys), None);
    }
}
