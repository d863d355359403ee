//! A program that handles many files, one after the other, over its standard streams: gitattributes(5), "Long Running
//! Filter Process", and git's Documentation/technical/long-running-process-protocol. Version 2; nothing is delayed.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::program::{MOST_OUTPUT, Program};

/// The most that a packet carries, in bytes.
const PACKET: usize = 65516;
/// Lines of a list, at most. Limits what a strange program can make us keep.
const MOST_LINES: usize = 64;

/// One such program.
pub(super) struct Process {
    program: Program,
    clean: bool,
    smudge: bool,
}

/// The way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Clean,
    /// Into the work tree.
    Smudge,
}

impl Way {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Smudge => "smudge",
        }
    }
}

/// Why a file did not pass.
pub(super) enum Fault {
    /// The program will not do this one.
    File(String),
    /// The program is of no more use.
    Program(String),
}

impl Process {
    pub(super) async fn start(command: &str, top: &Path, git_dir: &Path) -> Result<Self, String> {
        let program =
            Program::start(command, top, git_dir).map_err(|error| format!("it cannot be started: {error}"))?;
        let mut process = Self { program, clean: false, smudge: false };
        match process.greet().await {
            Ok(()) => Ok(process),
            Err(reason) => Err(process.last_words(reason).await),
        }
    }

    async fn greet(&mut self) -> Result<(), String> {
        self.list(&["git-filter-client", "version=2"]).await?;
        if self.lines().await? != ["git-filter-server", "version=2"] {
            return Err("it does not speak version 2 of the protocol for filters".to_owned());
        }
        self.list(&["capability=clean", "capability=smudge"]).await?;
        let offered = self.lines().await?;
        self.clean = offered.iter().any(|line| line == "capability=clean");
        self.smudge = offered.iter().any(|line| line == "capability=smudge");
        Ok(())
    }

    /// Passes one file. None where the program does not go this way, as git takes it.
    pub(super) async fn pass(
        &mut self,
        way: Way,
        path: &str,
        blob: Option<&str>,
        input: &[u8],
    ) -> Result<Option<Vec<u8>>, Fault> {
        let offered = if way == Way::Clean { &mut self.clean } else { &mut self.smudge };
        if !*offered {
            return Ok(None);
        }
        let told = self.exchange(way, path, blob, input).await;
        let (output, status) = match told {
            Ok(told) => told,
            Err(reason) => return Err(Fault::Program(self.last_words(reason).await)),
        };
        match (output, status.as_str()) {
            (Some(output), "success") => Ok(Some(output)),
            (_, "abort") => {
                *(if way == Way::Clean { &mut self.clean } else { &mut self.smudge }) = false;
                Err(Fault::File("it will not do this and further files (abort)".to_owned()))
            }
            (_, "error") => Err(Fault::File("it says: error".to_owned())),
            (_, other) => {
                let reason = format!("it gives the status {other:?}, which is none");
                Err(Fault::Program(self.last_words(reason).await))
            }
        }
    }

    async fn exchange(
        &mut self,
        way: Way,
        path: &str,
        blob: Option<&str>,
        input: &[u8],
    ) -> Result<(Option<Vec<u8>>, String), String> {
        let mut head = vec![format!("command={}", way.word()), format!("pathname={path}")];
        head.extend(blob.map(|blob| format!("blob={blob}")));
        self.list(&head.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        for chunk in input.chunks(PACKET) {
            self.send(chunk).await?;
        }
        self.flush().await?;
        let mut status = status_in(&self.lines().await?).unwrap_or_default();
        if status != "success" {
            return Ok((None, status));
        }
        let mut output = Vec::new();
        while let Some(packet) = self.packet().await? {
            output.extend(packet);
            if output.len() as u64 > MOST_OUTPUT {
                return Err(format!("it writes more than {MOST_OUTPUT} bytes"));
            }
        }
        // A second list may take the first word back.
        if let Some(last) = status_in(&self.lines().await?) {
            status = last;
        }
        Ok((Some(output), status))
    }

    /// Ends the program as git does: it sees the end of its input and goes. What it says then is of no interest any more.
    pub(super) async fn finish(mut self) {
        let _ = self.program.end().await;
    }

    async fn last_words(&mut self, reason: String) -> String {
        let words = self.program.words().await;
        if words.is_empty() { reason } else { format!("{reason}; {words}") }
    }

    async fn list(&mut self, lines: &[&str]) -> Result<(), String> {
        for line in lines {
            self.send(format!("{line}\n").as_bytes()).await?;
        }
        self.flush().await
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        let mut packet = format!("{:04x}", payload.len() + 4).into_bytes();
        packet.extend_from_slice(payload);
        self.write(&packet).await
    }

    async fn flush(&mut self) -> Result<(), String> {
        self.write(b"0000").await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(to) = self.program.child.stdin.as_mut() else { return Err("it has ended".to_owned()) };
        to.write_all(bytes).await.map_err(|error| format!("it takes no more input: {error}"))
    }

    async fn lines(&mut self) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        while let Some(packet) = self.packet().await? {
            if lines.len() == MOST_LINES {
                return Err("it sends a list without an end".to_owned());
            }
            lines.push(String::from_utf8_lossy(&packet).trim_end_matches('\n').to_owned());
        }
        Ok(lines)
    }

    /// The next packet; none for the end of a list.
    async fn packet(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(from) = self.program.child.stdout.as_mut() else { return Err("it has ended".to_owned()) };
        let gone = |error: std::io::Error| format!("it ended in the middle of an answer: {error}");
        let mut head = [0; 4];
        from.read_exact(&mut head).await.map_err(gone)?;
        let length = std::str::from_utf8(&head).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        match length {
            Some(0) => Ok(None),
            Some(length @ 4..) => {
                let mut payload = vec![0; length - 4];
                from.read_exact(&mut payload).await.map_err(gone)?;
                Ok(Some(payload))
            }
            _ => Err("it does not speak the protocol for filters".to_owned()),
        }
    }
}

fn status_in(lines: &[String]) -> Option<String> {
    lines.iter().rev().find_map(|line| line.strip_prefix("status=")).map(str::to_owned)
}
