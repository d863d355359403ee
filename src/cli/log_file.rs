//! The log file: one a day, more where a day's grows too large, and all together no more than they may be.
//!
//! `turnout.2026-11-28.log` is a day's first, `turnout.2026-11-28.2.log` its second. A stable link leads to the one that is
//! written. The day is that of the clock whichever way it is set; what is written to is never removed.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use time::{Date, OffsetDateTime, macros::format_description};

use crate::report::counted;

/// Name of the stable link beside the files.
pub const LATEST: &str = "turnout.log";

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Days of which there are files.
    pub days: usize,
    /// Bytes of one file. Its last line may go beyond.
    pub file: u64,
    /// Bytes of all files.
    pub all: u64,
}

/// Writes the log, each write one or more whole lines.
pub struct LogFile {
    directory: PathBuf,
    limits: Limits,
    open: Option<Open>,
    /// Lines are JSON.
    json: bool,
    /// Lines that could not be written since the last one that could.
    lost: usize,
    /// The clock, for tests another one.
    today: fn() -> Date,
}

struct Open {
    file: File,
    name: Name,
    size: u64,
}

/// A file's day, and which of that day it is.
type Name = (Date, u32);

impl LogFile {
    /// Opens the file that is due.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn open(directory: &Path, limits: Limits, json: bool) -> io::Result<LogFile> {
        let today = || OffsetDateTime::now_utc().date();
        let mut log = LogFile { directory: directory.to_path_buf(), limits, open: None, json, lost: 0, today };
        log.due(0)?;
        Ok(log)
    }

    /// The file that takes so many bytes more.
    fn due(&mut self, bytes: u64) -> io::Result<&mut Open> {
        let today = (self.today)();
        let room = |size: u64| size == 0 || size.saturating_add(bytes) <= self.limits.file;
        let open = match self.open.take() {
            Some(open) if open.name.0 == today && room(open.size) => open,
            former => {
                drop(former);
                let (mut name, mut size) = ((today, 1), 0);
                for (other, length) in self.files()? {
                    if other.0 == today && other.1 >= name.1 {
                        (name, size) = (other, length);
                    }
                }
                if !room(size) {
                    (name.1, size) = (name.1.saturating_add(1), 0);
                }
                let path = self.directory.join(file_name(name));
                let file = File::options().append(true).create(true).open(&path)?;
                // The file takes lines all the same.
                for failed in [self.link(name), self.remove_beyond(name)].into_iter().filter_map(Result::err) {
                    aside(&format!("{} is written, but not all is tidy beside it: {failed}", path.display()));
                }
                Open { file, name, size }
            }
        };
        Ok(self.open.insert(open))
    }

    /// Turns the stable link over, at no time to nothing.
    fn link(&self, name: Name) -> io::Result<()> {
        let (link, new) = (self.directory.join(LATEST), self.directory.join(".turnout.log.new"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(self.directory.join(file_name(name)), &new)?;
        fs::rename(&new, &link)
    }

    /// Removes the oldest beyond the limits, with room for one file more.
    fn remove_beyond(&self, current: Name) -> io::Result<()> {
        let mut files = self.files()?;
        files.retain(|(name, _)| *name != current);
        files.sort_unstable_by_key(|(name, _)| *name);
        let (mut bytes, mut days) = (self.limits.file, vec![current.0]);
        for (name, size) in files.into_iter().rev() {
            if !days.contains(&name.0) {
                days.push(name.0);
            }
            bytes = bytes.saturating_add(size);
            if days.len() > self.limits.days || bytes > self.limits.all {
                fs::remove_file(self.directory.join(file_name(name)))?;
            }
        }
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<(Name, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str().and_then(parse) {
                files.push((name, entry.metadata().map(|meta| meta.len()).unwrap_or(0)));
            }
        }
        Ok(files)
    }
}

impl LogFile {
    /// Writes lines; answers how many bytes of them are in the file where it ends early.
    fn put(&mut self, lines: &[u8]) -> Result<(), (usize, io::Error)> {
        let open = self.due(lines.len() as u64).map_err(|error| (0, error))?;
        let mut done = 0;
        while let Some(rest) = lines.get(done..).filter(|rest| !rest.is_empty()) {
            match open.file.write(rest) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(more) => {
                    done += more;
                    open.size += more as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }

    /// Where lines are missing, the file itself says so as soon as it can be written. The first half of a line may stand
    /// before that.
    fn catch_up(&mut self) -> io::Result<()> {
        if self.lost > 0 {
            let missing = counted(self.lost, "line");
            let said = format!("{missing} could not be written to this file and are missing here");
            let said = if self.json { format!(r#"{{"level":"ERROR","message":"{said}"}}"#) } else { said };
            self.put(format!("\n{said}\n").as_bytes()).map_err(|(_, error)| error)?;
            self.lost = 0;
        }
        Ok(())
    }
}

impl Write for LogFile {
    /// Never fails: nobody who logs could do anything about it. What is lost is counted, and told in both places that
    /// remain: standard error at once, the file later.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let written = self.catch_up().map_err(|error| (0, error)).and_then(|()| self.put(lines));
        if let Err((done, error)) = written {
            if self.lost == 0 {
                aside(&format!(
                    "the log file in {} cannot be written, and lines will be missing from it: {error}",
                    self.directory.display()
                ));
            }
            // Those that are whole in the file are not missing.
            self.lost += lines.get(done..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n').count();
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.file.flush())
    }
}

/// Tells something where there is no log. What systemd takes from there is an error (sd-daemon(3)). There may be nobody to
/// read it.
fn aside(text: &str) {
    let _ = writeln!(io::stderr(), "<3>{text}");
}

fn file_name((day, part): Name) -> String {
    let day = day.format(format_description!("[year]-[month]-[day]")).unwrap_or_default();
    if part == 1 { format!("turnout.{day}.log") } else { format!("turnout.{day}.{part}.log") }
}

fn parse(name: &str) -> Option<Name> {
    let name = name.strip_prefix("turnout.")?.strip_suffix(".log")?;
    let (day, part) = match name.split_once('.') {
        Some((day, part)) => (day, part.parse().ok().filter(|part| *part > 1)?),
        None => (name, 1),
    };
    Some((Date::parse(day, format_description!("[year]-[month]-[day]")).ok()?, part))
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    type Today = fn() -> Date;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn open(directory: &Path, today: fn() -> Date) -> LogFile {
        let limits = Limits { days: 3, file: 100, all: 350 };
        LogFile { directory: directory.to_path_buf(), limits, open: None, json: false, lost: 0, today }
    }

    #[test]
    fn a_file_has_its_size_and_all_together_have_theirs() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.log"), "another's").unwrap();
        let mut log = open(dir.path(), || date!(2026 - 11 - 28));
        for number in 0..40 {
            log.write_all(format!("line {number:014}\n").as_bytes()).unwrap(); // 20 bytes
            let bytes: u64 = log.files().unwrap().iter().map(|(_, size)| size).sum();
            assert!(bytes <= 350, "{bytes} after line {number}");
        }
        let last = fs::read_to_string(dir.path().join(LATEST)).unwrap();
        assert!(last.ends_with("line 00000000000039\n") && last.len() == 100, "{last}");
        let kept = ["notes.log", "turnout.2026-11-28.6.log", "turnout.2026-11-28.7.log", "turnout.2026-11-28.8.log"];
        assert_eq!(names(dir.path()), [&kept[..], &[LATEST]].concat());
        // After a restart it goes on where it was, and a line that is too large has a file of its own.
        drop(log);
        let mut log = open(dir.path(), || date!(2026 - 11 - 28));
        log.write_all(&[b'x'; 500]).unwrap();
        assert_eq!(fs::read(dir.path().join("turnout.2026-11-28.9.log")).unwrap().len(), 500);
        log.write_all(b"y\n").unwrap();
        assert_eq!(fs::read(dir.path().join(LATEST)).unwrap(), b"y\n");
        assert_eq!(names(dir.path()), ["notes.log", "turnout.2026-11-28.10.log", LATEST], "the large one goes first");
    }

    #[test]
    fn lines_that_are_missing_are_counted_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("log");
        // It is not there, so nothing can be written.
        let mut log = open(&home, || date!(2026 - 11 - 28));
        log.write_all(b"one\ntwo\n").unwrap();
        log.write_all(b"three\n").unwrap();
        fs::create_dir(&home).unwrap();
        log.write_all(b"four\n").unwrap();
        log.write_all(b"five\n").unwrap();
        let text = fs::read_to_string(home.join(LATEST)).unwrap();
        assert_eq!(text, "\n3 lines could not be written to this file and are missing here\nfour\nfive\n");
    }

    #[test]
    fn days_are_those_of_the_clock_whichever_way_it_is_set() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), || date!(2026 - 11 - 28));
        let days: [(Today, &str); 6] = [
            (|| date!(2026 - 11 - 28), "turnout.2026-11-28.log"),
            (|| date!(2026 - 12 - 24), "turnout.2026-12-24.log"),
            (|| date!(2026 - 11 - 28), "turnout.2026-11-28.log"),
            (|| date!(1970 - 01 - 01), "turnout.1970-01-01.log"),
            (|| date!(2026 - 11 - 29), "turnout.2026-11-29.log"),
            (|| date!(2027 - 01 - 01), "turnout.2027-01-01.log"),
        ];
        for (today, name) in days {
            log.today = today;
            log.write_all(b"line\n").unwrap();
            assert_eq!(fs::read_link(dir.path().join(LATEST)).unwrap(), dir.path().join(name));
            assert!(fs::read_to_string(dir.path().join(LATEST)).unwrap().ends_with("line\n"));
        }
        let left = ["turnout.2026-11-29.log", "turnout.2026-12-24.log", "turnout.2027-01-01.log", LATEST];
        assert_eq!(names(dir.path()), left);
    }
}
