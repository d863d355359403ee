//! The agent's language: lengths and texts, as an SSH agent and key files write them.

/// Reads what SSH writes.
pub struct Wire<'a>(pub &'a [u8]);

impl<'a> Wire<'a> {
    /// A number of four bytes.
    pub fn number(&mut self) -> Result<u32, &'static str> {
        let (head, rest) = self.0.split_first_chunk::<4>().ok_or("is damaged")?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*head))
    }

    /// Bytes after their length.
    pub fn text(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.number()?).map_err(|_| "is damaged")?;
        let (text, rest) = self.0.split_at_checked(length).ok_or("is damaged")?;
        self.0 = rest;
        Ok(text)
    }
}

/// Appends bytes after their length.
pub fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text);
}
