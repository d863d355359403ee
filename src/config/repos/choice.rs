//! Words that stand for a choice, each declared once with its meaning.

/// A choice between words.
pub trait Choice: Copy + 'static {
    /// The words and what each means, in the order of [`Choice::of`]'s answers.
    const WORDS: &'static [(&'static str, &'static str)];

    /// The choice that a word stands for.
    fn of(word: &str) -> Option<Self>;
}

/// Declares the words of a choice.
macro_rules! choice {
    ($type:ident { $($word:literal => $variant:ident, $help:literal;)* }) => {
        impl Choice for $type {
            const WORDS: &'static [(&'static str, &'static str)] = &[$(($word, $help)),*];

            fn of(word: &str) -> Option<$type> {
                match word {
                    $($word => Some($type::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

use super::{Builder, Divergence, Filters, Orphans, OutsidePaths, Rebuild};

choice!(Rebuild {
    "auto" => Auto, "what changed files, a missing image or a trigger call for; each service for itself";
    "triggers" => Triggers, "only if a trigger file changed or REBUILD_TRIGGER lies in the working tree";
});
choice!(Divergence {
    "refuse" => Refuse, "an error";
    "reset" => Reset, "take the remote branch; local commits are left behind";
    "rebase" => Rebase, "put local commits on top";
});
choice!(Filters {
    "refuse" => Refuse, "refuse such files by name";
    "run" => Run, "run the programs that git's configuration names for them, each for as long as the fetch may take";
});
choice!(OutsidePaths {
    "refuse" => Refuse, "refuse them by name";
    "allow" => Allow, "read them, with the rights of turnout's user";
});
choice!(Builder {
    "auto" => Auto, "whatever the engine offers and the build needs";
    "classic" => Classic, "the engine's classic builder";
    "buildkit" => Buildkit, "BuildKit";
});
choice!(Orphans {
    "remove" => Remove, "they go before anything is started that may need their port or name";
    "keep" => Keep, "they are left alone and mentioned";
});
