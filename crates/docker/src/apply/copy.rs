//! Secrets and configs that come from variables or from the Compose file are copied in before each start.

use bollard::query_parameters::UploadToContainerOptionsBuilder;
use turnout_compose::model::Service;

use super::executor::Executor;
use crate::{
    EngineError,
    translate::{CopiedFile, copied_files},
};

impl Executor<'_> {
    /// Copies all of them; nothing is sent when there are none.
    pub(super) async fn copy_files(&self, name: &str, service: &Service, id: &str) -> Result<(), EngineError> {
        for file in copied_files(self.run.project, name, service)? {
            let what = format!("copy {} into {name}", file.target);
            let archive = archive(&file).map_err(|error| EngineError::refused(what.clone(), 0, &error.to_string()))?;
            // Owners are taken from the archive only when they were asked for, as Compose does.
            let options = UploadToContainerOptionsBuilder::default().path("/");
            let options = if file.owned { options.copy_uidgid("true") } else { options };
            let (options, archive) = (Some(options.build()), bollard::body_full(archive.into()));
            let sent = self.engine.ask(self.engine.docker().upload_to_container(id, options, archive)).await;
            sent.map_err(|e| EngineError::api(what, e))?;
        }
        Ok(())
    }
}

fn archive(file: &CopiedFile) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(file.content.len() as u64);
    header.set_mode(file.mode);
    header.set_uid(file.uid);
    header.set_gid(file.gid);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, file.target.trim_start_matches('/'), file.content.as_bytes())?;
    builder.into_inner()
}
