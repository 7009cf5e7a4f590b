//! The JavaScript class `FolderScanner`.

use crate::js_calls::FolderScan;
use crate::js_view::type_error;
use crate::scan_ahead::ScanAhead;
use napi::bindgen_prelude::Env;
use napi::Result;
use napi_derive::napi;

/// Scans folders ahead of the one who asks for them.
#[napi]
pub struct FolderScanner {
    ahead: ScanAhead,
}

#[napi(catch_unwind)]
pub fn scan_folders(paths: Vec<String>, threads: u32) -> FolderScanner {
    let ahead = ScanAhead::start(paths, threads as usize);
    FolderScanner { ahead }
}

#[napi]
impl FolderScanner {
    /// Blocks until the next folder is scanned.
    #[napi(catch_unwind)]
    pub fn next(&self, env: Env) -> Result<FolderScan> {
        match self.ahead.next() {
            Some(scan) => Ok(scan.into()),
            None => Err(type_error(env.raw(), "no folder is left")),
        }
    }
}
