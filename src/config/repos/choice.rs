//! Words that stand for a choice, each declared once with its meaning.

/// A choice between words.
pub trait Choice: Copy + 'static {
    /// The words and what each means, in the order of [`Choice::of`]'s answers.
    const WORDS: &'static [(&'static str, &'static str)];

    /// The choice that a word stands for.
    fn of(word: &str) -> Option<Self>;
}

/// Declares the words of a choice, beside its type.
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

pub(super) use choice;
