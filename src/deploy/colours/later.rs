//! What is said while it is asked whether there is anything to do at all. It counts only where there is nothing: else the next colour
//! is planned, and what is said of that is what is done.

use std::sync::{Mutex, PoisonError};

use crate::report::{Event, Reporter};

/// Keeps what is said, and passes on at once what only matters while one watches.
pub struct Later<'r> {
    to: &'r dyn Reporter,
    kept: Mutex<Vec<Event>>,
}

impl<'r> Later<'r> {
    /// For whoever is told in the end.
    pub fn new(to: &'r dyn Reporter) -> Later<'r> {
        Later { to, kept: Mutex::default() }
    }

    /// It counts: says what was kept, in order.
    pub fn tell(self) {
        let kept = self.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        kept.into_iter().for_each(|event| self.to.report(event));
    }
}

impl Reporter for Later<'_> {
    fn report(&self, event: Event) {
        match event {
            Event::Info { .. } | Event::Warning { .. } => {
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
            event => self.to.report(event),
        }
    }

    fn variables(&self, variables: &[(String, String)]) {
        self.to.variables(variables);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Notes;

    #[test]
    fn what_is_kept_is_said_where_it_counts_and_else_never() {
        let said = |counts| {
            let notes = Notes::default();
            let later = Later::new(&notes);
            later.info("no rebuild".to_owned());
            later.warn("port 80 is published".to_owned());
            if counts {
                later.tell();
            }
            notes.into_texts()
        };
        assert_eq!(said(true), ["no rebuild", "port 80 is published"]);
        assert_eq!(said(false), Vec::<String>::new());
    }
}
