//! How long requests wait for services to end, where those use up their `stop_grace_period`.

use std::collections::BTreeMap;

use turnout_compose::model::Duration;

use crate::{
    class::Class,
    derived::{Fate, Grace, Note},
    said::Order,
    view::View,
};

const SECOND: i64 = 1_000_000_000;
/// How long the engine waits for a service that says nothing.
const USUAL: Duration = Duration(10 * SECOND);
/// What ends may take of the 30 s that turnout-proxy has a request wait: the start comes after them.
const MOST: Duration = Duration(20 * SECOND);

/// Notes where ends may take more than that: of what must not run twice at each deployment, and of all where what stays changes
/// hands.
pub(crate) fn notes(view: &View<'_>, fates: &BTreeMap<String, Fate>, notes: &mut Vec<Note>) {
    let longest = |wanted: &dyn Fn(&Fate) -> bool| {
        let own = fates.iter().filter(|(_, fate)| wanted(fate)).filter_map(|(name, _)| grace(view, name));
        own.max_by_key(|grace| grace.lasts)
    };
    let asked = |fate: &Fate| matches!(fate.class, Class::Held | Class::Routed | Class::Internal);
    let alone = longest(&|fate| asked(fate) && fate.order.is_some_and(|(order, _)| order == Order::StopFirst));
    if let Some(grace) = alone.filter(|grace| grace.lasts > MOST) {
        notes.push(Note::LongEnd(grace));
    }
    let stays = longest(&|fate| matches!(fate.class, Class::Shared | Class::Single));
    if let Some((first, then)) = longest(&asked).zip(stays)
        && first.lasts.0.saturating_add(then.lasts.0) > MOST.0
    {
        notes.push(Note::LongEnds(first, then));
    }
}

fn grace(view: &View<'_>, name: &str) -> Option<Grace> {
    let said = view.service(name)?.stop_grace_period;
    Some(Grace { service: name.to_owned(), lasts: said.unwrap_or(USUAL) })
}
