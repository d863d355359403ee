//! The head of a request, as far as a proof needs it.

/// Answers the headers of a request by name, in any case.
#[derive(Clone, Copy)]
pub struct Head<'h>(&'h dyn Fn(&str) -> Option<&'h [u8]>);

impl<'h> Head<'h> {
    /// From whatever knows the headers.
    pub fn new(get: &'h dyn Fn(&str) -> Option<&'h [u8]>) -> Head<'h> {
        Head(get)
    }

    /// The bytes of a header.
    pub fn get(self, name: &str) -> Option<&'h [u8]> {
        (self.0)(name)
    }
}
