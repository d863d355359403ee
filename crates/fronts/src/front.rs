//! What a proxy of others must be able to do, so that turnout can switch it.

use std::{fmt, future::Future, pin::Pin};

use crate::{
    FrontError,
    wanted::{Means, Open, Stands, Wanted},
};

/// An answer that takes time, of a trait whose keepers are chosen while the program runs.
pub type Told<'f, T> = Pin<Box<dyn Future<Output = Result<T, FrontError>> + Send + 'f>>;

/// A proxy that leads the requests of one repository. Every act may be done again without harm, and each has an end.
pub trait Front: fmt::Debug + Send + Sync {
    /// What it is called, and where it is asked: for messages.
    fn name(&self) -> String;

    /// What it can do, and how it is seen that nothing is open to a colour any more.
    fn means(&self) -> Means;

    /// How it stands, asked of the program itself.
    fn stands(&self) -> Told<'_, Stands>;

    /// Whether it could be led there: finds what is missing, and changes nothing.
    fn check<'f>(&'f self, wanted: &'f Wanted) -> Told<'f, ()>;

    /// Whether two colours could share the requests of its places: finds what is in the way, and changes nothing.
    fn could_share(&self) -> Told<'_, ()>;

    /// Has it lead where is wanted, and sees that it does. Answers whether that changed anything.
    fn apply<'f>(&'f self, wanted: &'f Wanted) -> Told<'f, bool>;

    /// What is open to a colour that gets no requests any more.
    fn open<'f>(&'f self, colour: &'f str) -> Told<'f, Open>;
}
