//! What a check-out does to each path: a decision from facts alone.
//!
//! The rules are those of git's `unpack-trees.c`: for an update `twoway_merge` (the table in git-read-tree(1), "Two Tree
//! Merge"), for a reset `oneway_merge`; then `apply_sparse_checkout`. Paths that an interrupted check-out of ours touched
//! count as unmodified where they hold what it was going to write, or what was there before it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    index::{Entry, Index, Proof},
    node::{Kind, Name, Node, parents},
};

/// All that is known of a path.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) index: Option<Entry>,
    /// In conflict in the index.
    pub(super) unmerged: bool,
    /// In the commit that was checked out.
    pub(super) old: Option<Node>,
    /// In the commit to check out.
    pub(super) new: Option<Node>,
    /// In the commits of an interrupted check-out; empty without one.
    pub(super) half: Vec<Option<Node>>,
    /// Whether one of those commits has a folder here.
    pub(super) half_folder: bool,
    /// Whether the work tree is to hold it (sparse checkouts).
    pub(super) wanted: bool,
    /// A file of the server's own: no commit takes away what was written here, or what lives on it.
    pub(super) own: bool,
    /// The commit that was deployed last with success has it.
    pub(super) deployed: bool,
    /// Of a file of the server's own: turnout wrote what is there, and nobody has touched it since.
    pub(super) ours: bool,
    pub(super) there: There,
}

/// What the work tree has at a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum There {
    #[default]
    Absent,
    /// Something on the way is no folder.
    Blocked(Name),
    /// It is what one of the commits or the index has here.
    Known(Node, Proof),
    /// Anything else but a folder.
    Own { ignored: bool },
    /// A folder where none was to be.
    Folder {
        /// What lies in it and is not in the index, ignored files left out.
        strangers: Vec<Name>,
        /// Whether a repository lies in it.
        repository: bool,
    },
}

/// How much of what somebody did by hand is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// All of it; what stands in the way is a conflict.
    Keep,
    /// Nothing that is tracked or stands in the way, as `git reset --hard`.
    Force,
}

/// Whether the set of paths is sparse, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Whole,
    Sparse {
        /// As in [`super::sparse::Sparse`].
        expects_files_outside: bool,
    },
}

/// What is to be done, and the index afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Files and links to remove, and folders of submodules if they are empty.
    pub(super) remove: BTreeMap<Name, Removed>,
    /// What to write, in this order.
    pub(super) write: BTreeMap<Name, Node>,
    pub(super) entries: BTreeMap<Name, Entry>,
    /// What stands in the way.
    pub(super) conflicts: BTreeSet<Name>,
    /// Made by hand, and given up.
    pub(super) given_up: BTreeSet<Name>,
    /// Files of the server's own that git does not track any more, and that stay.
    pub(super) stays: BTreeSet<Name>,
    /// Repositories that stand where something else is to be, and that even a reset does not remove.
    pub(super) repositories: BTreeSet<Name>,
}

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    /// A file or a link.
    File,
    /// The folder of a submodule, if it is empty.
    Module,
    /// A folder that stands where a file is to be, with what is in it.
    Folder,
}

/// Decides for all paths.
pub(super) fn decide(facts: &BTreeMap<Name, Facts>, way: Way, set: Set) -> Plan {
    let mut plan = Plan::default();
    for (name, facts) in facts {
        Path { name, facts, way, set }.decide(&mut plan);
    }
    clear_the_way(facts, way, &mut plan);
    plan
}

impl Plan {
    /// Whether the work tree stays as it is.
    pub(super) fn is_idle(&self) -> bool {
        self.remove.is_empty() && self.write.is_empty()
    }

    /// The index as it will be; what is written has no proof yet.
    pub(super) fn index(&self, before: &Index) -> Index {
        Index { entries: self.entries.clone(), version: before.version, written: before.written, ..Index::default() }
    }
}

struct Path<'f> {
    name: &'f Name,
    facts: &'f Facts,
    way: Way,
    set: Set,
}

impl Path<'_> {
    fn decide(&self, plan: &mut Plan) {
        let Facts { index, unmerged, old, new, half, .. } = self.facts;
        let index = index.map(|entry| self.present(entry));
        if self.way == Way::Force {
            return match (index, new) {
                (None, None) if *unmerged => self.gone(None, plan),
                (None, None) => self.leftover(plan),
                (Some(entry), None) => self.gone(Some(entry), plan),
                (index, Some(new)) => self.written(index, *new, plan),
            };
        }
        if *unmerged {
            plan.conflicts.insert(self.name.clone());
            return;
        }
        // What our own half work did to the index is no change made by hand.
        let old = if half.contains(&index.map(|entry| entry.node)) { index.map(|entry| entry.node) } else { *old };
        match (index, old, new) {
            (None, _, None) => self.leftover(plan),
            (None, None, Some(new)) => self.written(None, *new, plan),
            // Taken out of the index by hand.
            (None, Some(old), Some(new)) if old == *new => {}
            (None, Some(_), Some(_)) => self.conflict(plan),
            (Some(entry), None, None) => self.kept(entry, plan),
            (Some(entry), old, Some(new)) if entry.node == *new || old == Some(*new) => self.kept(entry, plan),
            (Some(entry), Some(old), None) if entry.node == old => self.gone(Some(entry), plan),
            (Some(entry), Some(old), Some(new)) if entry.node == old => self.written(Some(entry), *new, plan),
            (Some(_), ..) => self.conflict(plan),
        }
    }

    /// As git reads the index of a sparse checkout: what is left out and there all the same is not left out.
    fn present(&self, mut entry: Entry) -> Entry {
        let is_there = !matches!(self.facts.there, There::Absent | There::Blocked(_));
        if self.set == (Set::Sparse { expects_files_outside: false }) && is_there {
            entry.skip = false;
        }
        entry
    }

    fn is_left_out(&self) -> bool {
        self.set != Set::Whole && !self.facts.wanted
    }

    /// Whether nothing would be lost by taking away what is there, as far as the index knows it.
    fn is_clean(&self, entry: Option<Entry>) -> bool {
        match &self.facts.there {
            There::Absent => true,
            There::Known(node, _) => {
                entry.is_some_and(|entry| entry.node == *node)
                    || self.facts.new == Some(*node)
                    || self.facts.ours
                    || self.facts.half.contains(&Some(*node))
            }
            There::Own { .. } => self.facts.ours,
            // What lies in it is judged by itself. Of a submodule, a folder that was never filled.
            There::Folder { repository, .. } => {
                let is_module = entry.is_some_and(|entry| entry.node.kind == Kind::Module);
                self.facts.half_folder || (is_module && !repository)
            }
            // What stands in the way is judged by itself, too, if we know it.
            There::Blocked(_) => !self.facts.half.is_empty() && self.facts.half.contains(&None),
        }
    }

    fn conflict(&self, plan: &mut Plan) {
        plan.conflicts.insert(self.name.clone());
    }

    /// The path stays as the index has it.
    fn kept(&self, mut entry: Entry, plan: &mut Plan) {
        let (was_out, is_out) = (entry.skip, self.is_left_out());
        let Facts { half, there, .. } = self.facts;
        if self.set != Set::Whole {
            match (was_out, is_out) {
                (true, true) | (false, false) => {}
                (true, false) => {
                    entry.skip = false;
                    if *there == There::Absent {
                        plan.write.insert(self.name.clone(), entry.node);
                    }
                }
                (false, true) if self.is_clean(Some(entry)) => {
                    entry.skip = true;
                    self.remove(entry.node.kind, plan);
                }
                // Changed by hand, so it stays, and is not left out.
                (false, true) => {}
            }
        }
        let holds = match there {
            There::Absent | There::Folder { .. } | There::Blocked(_) => None,
            There::Known(node, _) => Some(*node),
            There::Own { .. } => return self.enter(entry, plan),
        };
        // Half done by us, and not wanted any more.
        let undo = half.contains(&holds)
            && holds != Some(entry.node)
            && (holds.is_some() || *there == There::Absent || self.is_clean(None));
        if undo && !entry.skip {
            plan.write.insert(self.name.clone(), entry.node);
        }
        self.enter(entry, plan);
    }

    /// The path becomes what the new commit has.
    fn written(&self, before: Option<Entry>, new: Node, plan: &mut Plan) {
        let Facts { there, .. } = self.facts;
        let is_out = self.is_left_out();
        let was_out = before.is_some_and(|entry| entry.skip);
        let mut entry = Entry::new(new);
        // As git: kept across a change where there is no sparse set, which else decides.
        entry.skip = if self.set == Set::Whole { was_out } else { is_out };
        if before.is_some_and(|before| before.node == new) && self.way == Way::Force {
            entry.assume = before.is_some_and(|before| before.assume);
            if self.set == Set::Whole && was_out {
                return self.enter(entry, plan);
            }
        }
        if self.set != Set::Whole && is_out {
            // Nothing to lose where nothing is; what is there goes, unless somebody changed it.
            if before.is_some() && !was_out {
                if !self.is_clean(before) && self.way == Way::Keep {
                    return self.conflict(plan);
                }
                self.remove(new.kind, plan);
            }
            return self.enter(entry, plan);
        }
        let in_the_way = match there {
            There::Absent => false,
            There::Known(node, _) if *node == new && new.kind != Kind::Module => return self.enter(entry, plan),
            There::Known(node, _) if node.kind == Kind::Module && new.kind == Kind::Module => false,
            There::Folder { .. } => before.is_some() && !self.is_clean(before),
            There::Own { ignored } => !self.facts.ours && (before.is_some() || !ignored),
            There::Known(..) => !self.is_clean(before),
            // Decided with what blocks the way.
            There::Blocked(_) => before.is_some() && !self.is_clean(before),
        };
        if in_the_way && (self.way == Way::Keep || before.is_some_and(|before| before.node != new && is_marked(before)))
        {
            return self.conflict(plan);
        }
        if in_the_way {
            plan.given_up.insert(self.name.clone());
        }
        // A file is replaced in one step; a folder cannot be.
        let is_file = match there {
            There::Known(node, _) => node.kind != Kind::Module,
            There::Own { .. } => true,
            There::Absent | There::Blocked(_) | There::Folder { .. } => false,
        };
        if new.kind == Kind::Module && is_file {
            plan.remove.insert(self.name.clone(), Removed::File);
        }
        plan.write.insert(self.name.clone(), new);
        plan.entries.insert(self.name.clone(), entry);
    }

    /// The path is no more.
    fn gone(&self, before: Option<Entry>, plan: &mut Plan) {
        if self.set != Set::Whole && before.is_some_and(|entry| entry.skip) && self.is_left_out() {
            return;
        }
        // A link that came with a commit is not the server's: what it leads to would then count as chosen here.
        let is_link = before.is_some_and(|entry| entry.node.kind == Kind::Link);
        let keeps = match self.facts.there {
            There::Own { .. } => true,
            There::Known(..) => self.facts.deployed || !self.facts.ours,
            There::Absent | There::Blocked(_) | There::Folder { .. } => false,
        };
        if self.facts.own && !is_link && keeps {
            plan.stays.insert(self.name.clone());
            return;
        }
        if !self.is_clean(before) {
            match (self.way, &self.facts.there) {
                // A folder somebody made where the file was: git does not remove it either.
                (_, There::Folder { .. } | There::Blocked(_)) if self.way == Way::Force => return,
                (Way::Keep, _) => return self.conflict(plan),
                (Way::Force, _) if before.is_some_and(is_marked) => return self.conflict(plan),
                (Way::Force, _) => {
                    plan.given_up.insert(self.name.clone());
                }
            }
        }
        let kind = before.map_or(Kind::File, |entry| entry.node.kind);
        self.remove(kind, plan);
    }

    /// What only an interrupted check-out of ours has put there.
    fn leftover(&self, plan: &mut Plan) {
        if let There::Known(node, _) = &self.facts.there
            && self.facts.half.contains(&Some(*node))
        {
            self.remove(node.kind, plan);
        }
    }

    fn remove(&self, kind: Kind, plan: &mut Plan) {
        let what = match &self.facts.there {
            There::Known(..) | There::Folder { .. } if kind == Kind::Module => Removed::Module,
            // Also one that is gone already: its folder may be empty now.
            There::Known(..) | There::Own { .. } | There::Absent => Removed::File,
            There::Blocked(_) | There::Folder { .. } => return,
        };
        plan.remove.insert(self.name.clone(), what);
    }

    /// Takes the path into the index, with what proves it unchanged.
    fn enter(&self, mut entry: Entry, plan: &mut Plan) {
        let before = self.facts.index;
        match &self.facts.there {
            There::Known(node, proof) if *node == entry.node && !entry.skip => entry.proof = *proof,
            // Its times and size may be those in the index, written within one tick of the clock. A size of nothing says that
            // the content must be looked at, as git notes it.
            There::Own { .. }
                if before.is_some_and(|before| before.node == entry.node)
                    && !entry.skip
                    && !super::index::is_empty_blob(entry.node.id) =>
            {
                entry.proof.size = 0;
            }
            _ => {}
        }
        plan.entries.insert(self.name.clone(), entry);
    }
}

/// Whether somebody asked git to leave the file alone, which a reset does not do away with either.
fn is_marked(entry: Entry) -> bool {
    entry.skip || entry.assume
}

/// Finds what stands where folders or files are to be.
fn clear_the_way(facts: &BTreeMap<Name, Facts>, way: Way, plan: &mut Plan) {
    let mut extra = BTreeMap::new();
    for name in plan.write.keys() {
        for above in parents(name) {
            let Some(facts) = facts.get(above) else { continue };
            let ignored = match &facts.there {
                There::Known(node, _) if node.kind == Kind::Module => continue,
                There::Known(..) => false,
                There::Own { ignored } => *ignored && facts.index.is_none(),
                There::Absent | There::Blocked(_) | There::Folder { .. } => continue,
            };
            if plan.remove.contains_key(above) {
                continue;
            }
            if !ignored && way == Way::Keep {
                plan.conflicts.insert(above.to_vec());
                continue;
            }
            if !ignored {
                plan.given_up.insert(above.to_vec());
            }
            extra.insert(above.to_vec(), Removed::File);
        }
    }
    for (name, node) in &plan.write {
        let Some(There::Folder { strangers, repository }) = facts.get(name).map(|facts| &facts.there) else { continue };
        if node.kind == Kind::Module {
            continue;
        }
        if *repository {
            plan.repositories.insert(name.clone());
            continue;
        }
        let lost: Vec<&Name> = strangers.iter().filter(|name| !plan.remove.contains_key(*name)).collect();
        if lost.is_empty() || way == Way::Force {
            plan.given_up.extend(lost.into_iter().cloned());
            extra.insert(name.clone(), Removed::Folder);
        } else {
            plan.conflicts.extend(lost.into_iter().cloned());
        }
    }
    // A submodule that is to give its place to a file or to files in a folder, and is still there.
    for (name, removed) in &plan.remove {
        let below = [name.as_slice(), b"/"].concat();
        let is_needed = plan.write.contains_key(name)
            || plan.write.range(below.clone()..).next().is_some_and(|(first, _)| first.starts_with(&below));
        let is_full = facts.get(name).is_some_and(|facts| matches!(facts.there, There::Known(..)));
        if *removed == Removed::Module && is_needed && is_full {
            plan.repositories.insert(name.clone());
        }
    }
    plan.remove.extend(extra);
}

#[cfg(test)]
mod tests {
    use git2::Oid;

    use super::*;

    fn node(number: u8) -> Option<Node> {
        (number != 0).then(|| Node { kind: Kind::File, id: Oid::from_bytes(&[number; 20]).unwrap() })
    }

    /// Facts of one path: what the index, the old and the new commit have (0: nothing), and what is there (9: something of
    /// somebody's own).
    fn facts(index: u8, old: u8, new: u8, there: u8) -> Facts {
        Facts {
            index: node(index).map(Entry::new),
            old: node(old),
            new: node(new),
            wanted: true,
            there: match there {
                0 => There::Absent,
                9 => There::Own { ignored: false },
                known => There::Known(node(known).unwrap(), Proof::default()),
            },
            ..Facts::default()
        }
    }

    #[test]
    fn of_the_servers_own_stays_what_was_written_here_or_runs() {
        let own = |facts| Facts { own: true, ..facts };
        let stays = |facts: Facts| {
            let plan = decide(&BTreeMap::from([(b"f".to_vec(), facts)]), Way::Keep, Set::Whole);
            plan.stays.contains(b"f".as_slice())
        };
        // Taken out by the commit: what turnout wrote, and nothing was ever deployed with; the same, deployed; edited.
        let ours = |facts| Facts { ours: true, ..own(facts) };
        assert!(!stays(ours(facts(1, 1, 0, 1))));
        assert_eq!(outcome(ours(facts(1, 1, 0, 1)), Way::Keep, Set::Whole), "remove");
        assert!(stays(Facts { deployed: true, ..ours(facts(1, 1, 0, 1)) }));
        assert!(stays(own(facts(1, 1, 0, 9))));
        // The same content, which the server's user wrote before a commit guessed it.
        assert!(stays(own(facts(1, 1, 0, 1))));
        // Brought again: what turnout left is replaced, what somebody wrote is not.
        assert_eq!(outcome(ours(facts(0, 0, 2, 9)), Way::Keep, Set::Whole), "write");
        assert_eq!(outcome(own(facts(0, 0, 2, 9)), Way::Keep, Set::Whole), "conflict");
        assert_eq!(outcome(own(facts(0, 0, 2, 1)), Way::Keep, Set::Whole), "conflict");
    }

    /// What happens to a path, in one word.
    fn outcome(facts: Facts, way: Way, set: Set) -> &'static str {
        let name = b"f".to_vec();
        let before = facts.index.map(|entry| entry.node);
        let plan = decide(&BTreeMap::from([(name.clone(), facts)]), way, set);
        let after = plan.entries.get(&name).map(|entry| entry.node);
        match () {
            () if plan.conflicts.contains(&name) => "conflict",
            () if plan.write.contains_key(&name) => "write",
            () if plan.remove.contains_key(&name) => "remove",
            () if after.is_none() => "forget",
            () if after != before => "adopt",
            () => "keep",
        }
    }

    #[test]
    fn two_trees_are_merged_as_gits_table_says() {
        // git-read-tree(1), "Two Tree Merge": the number of the row, index, old, new, work tree, expected.
        let table = [
            (1, 0, 0, 2, 0, "write"),
            (1, 0, 0, 2, 9, "conflict"),
            (1, 0, 0, 2, 2, "adopt"),
            (2, 0, 1, 0, 9, "forget"),
            (3, 0, 1, 1, 0, "forget"),
            (3, 0, 1, 2, 0, "conflict"),
            (4, 3, 0, 0, 3, "keep"),
            (5, 3, 0, 0, 9, "keep"),
            (6, 2, 0, 2, 2, "keep"),
            (7, 2, 0, 2, 9, "keep"),
            (8, 3, 0, 2, 3, "conflict"),
            (9, 3, 0, 2, 9, "conflict"),
            (10, 1, 1, 0, 1, "remove"),
            (10, 1, 1, 0, 0, "remove"),
            (11, 1, 1, 0, 9, "conflict"),
            (12, 3, 1, 0, 3, "conflict"),
            (13, 3, 1, 0, 9, "conflict"),
            (14, 3, 1, 1, 3, "keep"),
            (15, 1, 1, 1, 9, "keep"),
            (16, 3, 1, 2, 3, "conflict"),
            (17, 3, 1, 2, 9, "conflict"),
            (18, 2, 1, 2, 2, "keep"),
            (19, 2, 1, 2, 9, "keep"),
            (20, 1, 1, 2, 1, "write"),
            (20, 1, 1, 2, 0, "write"),
            (21, 1, 1, 2, 9, "conflict"),
            // Kinder than git: it has the new content already.
            (21, 1, 1, 2, 2, "adopt"),
        ];
        for (row, index, old, new, there, expected) in table {
            let found = outcome(facts(index, old, new, there), Way::Keep, Set::Whole);
            assert_eq!(found, expected, "row {row}: {index} {old} {new} {there}");
        }
    }

    #[test]
    fn a_reset_takes_everything_back_but_what_is_marked() {
        for (index, new, there, expected) in [
            (1, 2, 9, "write"),
            (1, 1, 9, "write"),
            (1, 1, 0, "write"),
            (1, 0, 9, "remove"),
            (0, 2, 9, "write"),
            (1, 1, 1, "keep"),
        ] {
            assert_eq!(outcome(facts(index, 1, new, there), Way::Force, Set::Whole), expected, "{index} {new} {there}");
        }
        let mut marked = facts(1, 1, 2, 9);
        marked.index = marked.index.map(|entry| Entry { skip: true, ..entry });
        assert_eq!(outcome(marked, Way::Force, Set::Whole), "conflict");
        let mut unmerged = facts(0, 1, 2, 9);
        unmerged.unmerged = true;
        assert_eq!(outcome(unmerged.clone(), Way::Keep, Set::Whole), "conflict");
        assert_eq!(outcome(unmerged, Way::Force, Set::Whole), "write");
    }

    #[test]
    fn sparse_sets_decide_what_is_there() {
        let set = Set::Sparse { expects_files_outside: false };
        let out = |index, old, new, there, skip: bool| {
            let mut facts = facts(index, old, new, there);
            facts.wanted = false;
            facts.index = facts.index.map(|entry| Entry { skip, ..entry });
            outcome(facts, Way::Keep, set)
        };
        assert_eq!(out(1, 1, 2, 0, true), "adopt");
        assert_eq!(out(0, 0, 2, 0, false), "adopt");
        assert_eq!(out(1, 1, 0, 0, true), "forget");
        assert_eq!(out(1, 1, 1, 1, false), "remove");
        assert_eq!(out(1, 1, 1, 9, false), "keep");
        assert_eq!(out(1, 1, 2, 9, false), "conflict");
        let mut back = facts(1, 1, 1, 0);
        back.index = back.index.map(|entry| Entry { skip: true, ..entry });
        assert_eq!(outcome(back, Way::Keep, set), "write");
    }

    #[test]
    fn half_work_of_ours_is_no_change_by_hand() {
        let half = |index, old, new, there, half: [u8; 2]| {
            let mut facts = facts(index, old, new, there);
            facts.half = half.map(node).to_vec();
            outcome(facts, Way::Keep, Set::Whole)
        };
        // Written, and the index not yet; another commit came meanwhile.
        assert_eq!(half(1, 1, 3, 2, [1, 2]), "write");
        // The index, too, and HEAD not yet.
        assert_eq!(half(2, 1, 3, 2, [1, 2]), "write");
        assert_eq!(half(0, 1, 3, 0, [1, 0]), "write");
        // Made by us, and nobody wants it any more.
        assert_eq!(half(0, 0, 0, 2, [0, 2]), "remove");
        // Taken back: as it was.
        assert_eq!(half(1, 1, 1, 2, [1, 2]), "write");
        assert_eq!(half(1, 1, 1, 0, [1, 0]), "write");
        // Somebody's own.
        assert_eq!(half(1, 1, 3, 9, [1, 2]), "conflict");
        assert_eq!(half(1, 1, 1, 0, [1, 2]), "keep");
    }

    #[test]
    fn what_stands_where_a_folder_is_to_be_is_named() {
        let blocked = |ignored| {
            let mut below = facts(0, 0, 2, 0);
            below.there = There::Blocked(b"d".to_vec());
            let above = Facts { wanted: true, there: There::Own { ignored }, ..Facts::default() };
            decide(&BTreeMap::from([(b"d".to_vec(), above), (b"d/x".to_vec(), below)]), Way::Keep, Set::Whole)
        };
        assert!(blocked(false).conflicts.contains(b"d".as_slice()));
        assert_eq!(blocked(true).remove.get(b"d".as_slice()), Some(&Removed::File));
        let mut folder = facts(0, 0, 2, 0);
        folder.there = There::Folder { strangers: vec![b"f/own".to_vec()], repository: false };
        let plan = decide(&BTreeMap::from([(b"f".to_vec(), folder)]), Way::Keep, Set::Whole);
        assert!(plan.conflicts.contains(b"f/own".as_slice()));
    }
}
