//! From one table to the next: generations never fall, and one generation means one thing.

use crate::{
    bounds,
    check::{self, Placed},
    control::{Code, Refusal},
    mistake::Mistakes,
    table::{Repository, Table},
};

/// What asking for a repository's routes comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// The table has it already, word for word.
    Same,
    /// The table with the repository's new routes.
    New(Table),
}

impl Table {
    /// The table with one repository's routes replaced, all at once.
    ///
    /// # Errors
    /// Where the table has a newer generation or revision of it ([`Code::Older`]), the same one with other routes
    /// ([`Code::Conflict`]), or the routes do not go together with the others ([`Code::Mistaken`]).
    pub fn replace(&self, name: &str, wanted: Repository) -> Result<Replaced, Refusal> {
        if let Some(present) = self.repositories.get(name) {
            if *present == wanted {
                return Ok(Replaced::Same);
            }
            let (generation, revision) = present.age();
            let shown = format!("{name} is at generation {generation}, revision {revision}");
            if wanted.age() < present.age() {
                let asked = format!("{}, revision {}", wanted.generation, wanted.revision);
                return Err(Refusal::new(Code::Older, format!("{shown}; generation {asked}, is older")));
            }
            if wanted.age() == present.age() {
                let message = format!("{shown} already, with other routes; what is changed counts its revision up");
                return Err(Refusal::new(Code::Conflict, message));
            }
        } else if self.repositories.len() >= bounds::REPOSITORIES {
            let message =
                format!("the table is full: the most repositories that it may have are {}", bounds::REPOSITORIES);
            return Err(Refusal::new(Code::Mistaken, message));
        }
        let mut table = self.clone();
        table.repositories.insert(name.to_owned(), wanted);
        let mut mistakes = Mistakes::default();
        check::together(&Placed::of(&table), &mut mistakes);
        match mistakes.unless_any(()) {
            Ok(()) => Ok(Replaced::New(table)),
            Err(mistakes) => Err(Refusal::mistaken(mistakes)),
        }
    }
}

/// Whether a table may be served after another one, by its generations alone.
///
/// # Errors
/// Names every repository that is missing, older, or of the same generation and revision with other routes.
pub fn follows(present: &Table, next: &Table) -> Result<(), Mistakes> {
    let mut mistakes = Mistakes::default();
    for (name, present) in &present.repositories {
        let path = format!("repositories.{name}");
        let (generation, revision) = present.age();
        let served = format!("generation {generation}, revision {revision}");
        match next.repositories.get(name) {
            None => {
                mistakes.add(path, format!("is missing; {served} is served. Without routes it would be an empty list"))
            }
            Some(next) if next.age() < present.age() => mistakes.add(path, format!("is older; {served} is served")),
            Some(next) if next.age() == present.age() && next != present => {
                mistakes.add(path, format!("{served} is served with other routes; count the revision up"));
            }
            Some(_) => {}
        }
    }
    mistakes.unless_any(())
}
