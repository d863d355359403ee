//! What a check-out needs on the disk: blocks and inodes, not the bytes of its files alone. Many files of one byte fill a
//! disk that all share.

/// So many inodes are left free where room is left at all.
const SPARE_INODES: u64 = 1_000;
/// This part of a file system is left free, at most: one that is small has its purpose.
const SPARE_PART: u64 = 20;
/// What a folder keeps of a file in it, besides its name, in bytes.
const ENTRY: u64 = 16;

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes that we may still write.
    pub(super) bytes: u64,
    /// Inodes that we may still make; none where the file system makes them as they are asked for.
    pub(super) inodes: Option<u64>,
    /// Bytes of a block.
    pub(super) block: u64,
    /// Bytes and inodes of the whole file system.
    pub(super) size: (u64, u64),
}

/// What is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) bytes: u64,
    pub(super) inodes: u64,
    block: u64,
    /// Bytes of the entries in folders.
    entries: u64,
}

impl Need {
    /// Of nothing, with blocks of this size.
    pub(super) fn new(block: u64) -> Self {
        Self { bytes: 0, inodes: 0, block: block.max(1), entries: 0 }
    }

    /// One more file, with the name it has in its folder.
    pub(super) fn file(&mut self, size: u64, name: &[u8]) {
        self.bytes = self.bytes.saturating_add(size.div_ceil(self.block).saturating_mul(self.block));
        self.inodes += 1;
        self.entries = self.entries.saturating_add(name.len() as u64 + ENTRY);
    }

    /// One more folder.
    pub(super) fn folder(&mut self, name: &[u8]) {
        self.file(1, name);
    }

    /// With the entries, that grow folders which are there.
    pub(super) fn total(self) -> u64 {
        self.bytes.saturating_add(self.entries)
    }

    /// What is lacking, in words, where so many bytes are to stay free.
    pub(super) fn lacks(self, room: Room, spare: u64) -> Option<String> {
        use turnout_report::{counted, units::shown};
        if self.inodes == 0 {
            return None;
        }
        let spare = spare.min(room.size.0 / SPARE_PART);
        let beside =
            if spare == 0 { String::new() } else { format!(", and {} are left free for others", shown(spare)) };
        if self.total().saturating_add(spare) > room.bytes {
            return Some(format!(
                "the new files need {} on the disk, and {} are free{beside}",
                shown(self.total()),
                shown(room.bytes)
            ));
        }
        let left = if spare == 0 { 0 } else { SPARE_INODES.min(room.size.1 / SPARE_PART) };
        let inodes = room.inodes?;
        let paths = counted(usize::try_from(self.inodes).unwrap_or(usize::MAX), "new path");
        (self.inodes.saturating_add(left) > inodes)
            .then(|| format!("there are {paths}, and the file system has room for {inodes} more (inodes: df -i)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (u64, u64) = (1_000_000_000, 2_000_000);
    const ROOM: Room = Room { bytes: 500_000_000, inodes: Some(1_000_000), block: 4096, size: SIZE };

    #[test]
    fn files_of_one_byte_need_a_block_each() {
        let mut need = Need::new(ROOM.block);
        for _ in 0..120_000 {
            need.file(1, b"name");
        }
        need.folder(b"in");
        assert_eq!((need.bytes, need.inodes), (120_001 * 4096, 120_001));
        assert_eq!(need.total(), need.bytes + 120_000 * 20 + 18);
        assert_eq!(need.lacks(ROOM, 0), None);
        let tight = need.lacks(ROOM, 20_000_000).unwrap();
        assert!(tight.contains("need 493 MB") && tight.contains("20.0 MB are left free"), "{tight}");
        let few = Room { inodes: Some(120_500), ..ROOM };
        assert_eq!(need.lacks(few, 0), None);
        assert!(need.lacks(few, 1).is_some_and(|why| why.contains("room for 120500 more")));
        // A small disk keeps its purpose.
        let small = Room { bytes: 495_000_000, size: (500_000_000, 200), ..few };
        assert!(need.lacks(small, u64::MAX).is_some_and(|why| why.contains("25.0 MB are left free")));
        let smaller = Room { size: (10_000_000, 200), ..small };
        assert_eq!(need.lacks(smaller, u64::MAX), None);
        assert_eq!(need.lacks(Room { inodes: None, ..ROOM }, 1), None);
    }

    #[test]
    fn what_writes_nothing_needs_nothing() {
        let full = Room { bytes: 0, inodes: Some(0), ..ROOM };
        assert_eq!(Need::new(full.block).lacks(full, 1 << 30), None);
        let mut empty = Need::new(0);
        empty.file(0, b"e");
        assert!(empty.lacks(full, 0).is_some());
        assert_eq!(empty.bytes, 0);
    }
}
