//! extentd's addon: files, checksums, waiting and threads, on memory that JavaScript threads share.
//!
//! It knows nothing of packets, extents or raft. The plain modules know nothing of JavaScript either, except `loops`;
//! `js_*` are the boundary, whose typed and documented face is `addon.ts`. No panic crosses it: a call throws, and an
//! operation on an I/O thread fails with EIO.

// napi-derive registers nothing under test, so all that only JavaScript calls looks unused there.
#![cfg_attr(test, allow(dead_code))]

mod batch;
mod clock;
mod crc;
mod direct;
mod disk;
mod doorbell;
mod entry;
mod errno;
mod fault;
mod files;
mod js_calls;
mod js_disk;
mod js_scan;
mod js_view;
mod kernel;
mod loops;
mod process;
mod record;
mod scan_ahead;
