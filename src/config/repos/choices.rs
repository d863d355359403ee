//! The choices that `repos.yaml` offers, each with its words.

use super::choice::{Choice, choice};

/// What leads to a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rebuild {
    /// Trigger files, missing images, and changed files of a build context.
    #[default]
    Auto,
    /// Trigger files only.
    Triggers,
}

choice!(Rebuild {
    "auto" => Auto, "what changed files, a missing image or a trigger call for; each service for itself";
    "triggers" => Triggers, "only if a trigger file changed or REBUILD_TRIGGER lies in the working tree";
});

/// What to do when local and remote history have parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Divergence {
    /// Fail the deployment and say so.
    #[default]
    Refuse,
    /// Take the remote branch; local commits are left behind.
    Reset,
    /// Put local commits on top of the remote branch.
    Rebase,
}

choice!(Divergence {
    "refuse" => Refuse, "an error";
    "reset" => Reset, "take the remote branch; local commits are left behind";
    "rebase" => Rebase, "put local commits on top";
});

/// What to do with files that pass through a program on their way between git and the work tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filters {
    /// Refuse them by name.
    #[default]
    Refuse,
    /// Run the programs that git's configuration names.
    Run,
}

choice!(Filters {
    "refuse" => Refuse, "refuse such files by name";
    "run" => Run, "run the programs that git's configuration names for them, each for as long as the fetch may take";
});

/// What to do where a commit names a file outside of the repository that turnout itself would read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutsidePaths {
    /// Refuse it by name.
    #[default]
    Refuse,
    /// Read it, with the rights of turnout's user.
    Allow,
}

choice!(OutsidePaths {
    "refuse" => Refuse, "refuse them by name";
    "allow" => Allow, "read them, with the rights of turnout's user";
});

/// Which builder makes the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Builder {
    /// Whatever the engine offers and the build needs.
    #[default]
    Auto,
    /// The engine's classic builder.
    Classic,
    /// BuildKit, the engine's newer one.
    Buildkit,
}

choice!(Builder {
    "auto" => Auto, "whatever the engine offers and the build needs";
    "classic" => Classic, "the engine's classic builder";
    "buildkit" => Buildkit, "BuildKit";
});

/// What happens to containers whose service is no longer in the Compose files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orphans {
    /// They are removed, before anything is started that may need what they hold.
    #[default]
    Remove,
    /// They are left alone and mentioned.
    Keep,
}

choice!(Orphans {
    "remove" => Remove, "they go before anything is started that may need their port or name";
    "keep" => Keep, "they are left alone and mentioned";
});
