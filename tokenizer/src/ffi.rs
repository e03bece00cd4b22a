//! The C interface; `tacit_tokenizer.h` documents it.
//!
//! No panic crosses it: one becomes an INTERNAL error that names the source
//! line and nothing of the text, and prints nothing.

use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

use crate::chat::Chat;
use crate::tokenizer::{DecodeStream, Mode, Tokenizer};
use crate::{Error, Result};

/// A block that Rust owns until `tacit_bytes_free`.
#[repr(C)]
pub struct TacitBytes {
    data: *mut u8,
    size: usize,
}

/// Ids that Rust owns until `tacit_ids_free`.
#[repr(C)]
pub struct TacitIds {
    data: *mut u32,
    size: usize,
}

/// Owned as its parts are.
#[repr(C)]
pub struct TacitPair {
    ids: TacitIds,
    segments: TacitIds,
}

/// Borrowed bytes; `data` may be null if `size` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TacitSlice {
    data: *const u8,
    size: usize,
}

impl TacitBytes {
    fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let block = bytes.into().into_boxed_slice();
        Self { size: block.len(), data: Box::into_raw(block).cast() }
    }
}

impl TacitIds {
    fn new(ids: Vec<u32>) -> Self {
        let block = ids.into_boxed_slice();
        Self { size: block.len(), data: Box::into_raw(block).cast() }
    }
}

impl TacitSlice {
    /// Safety: `data` points to `size` bytes that outlive 'a.
    unsafe fn text<'a>(self, what: &str) -> Result<&'a str> {
        let bytes = if self.size == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(self.data, self.size)
        };
        std::str::from_utf8(bytes).map_err(|e| {
            Error::invalid(format!(
                "{what}: invalid UTF-8 at byte {}",
                e.valid_up_to()
            ))
        })
    }
}

thread_local! {
    static PANIC_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let at = info.location().map_or(String::new(), |location| {
                let file = location.file().rsplit('/').next().unwrap_or("");
                format!("{file}:{}", location.line())
            });
            let _ = PANIC_AT.try_with(|slot| slot.replace(at));
        }));
    });
}

/// Runs `body`; 0, or the error's code with its message in `error`.
unsafe fn guard(
    error: *mut TacitBytes,
    body: impl FnOnce() -> Result<()>,
) -> i32 {
    quiet_panics();
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        let at = PANIC_AT.with(|slot| slot.borrow().clone());
        Err(Error::internal(format!("the tokenizer failed at {at}")))
    });
    match result {
        Ok(()) => 0,
        Err(e) => {
            error.write(TacitBytes::new(e.message));
            e.code as i32
        }
    }
}

#[no_mangle]
pub unsafe extern "C" fn tacit_bytes_free(bytes: TacitBytes) {
    if !bytes.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(
            bytes.data, bytes.size,
        )));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tacit_ids_free(ids: TacitIds) {
    if !ids.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(
            ids.data, ids.size,
        )));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_load(
    folder: TacitSlice,
    out: *mut *mut Tokenizer,
    error: *mut TacitBytes,
) -> i32 {
    guard(error, || {
        let tokenizer = crate::load::load(folder.text("the folder's name")?)?;
        out.write(Box::into_raw(Box::new(tokenizer)));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        // Dropping plain containers does not panic.
        drop(Box::from_raw(tokenizer));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_vocab_size(
    tokenizer: *const Tokenizer,
) -> u32 {
    (*tokenizer).vocab_size()
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_has_chat_template(
    tokenizer: *const Tokenizer,
) -> bool {
    (*tokenizer).chat.is_some()
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_id_of(
    tokenizer: *const Tokenizer,
    token: TacitSlice,
) -> i64 {
    let tokenizer = &*tokenizer;
    let find =
        || token.text("token").ok().and_then(|token| tokenizer.id_of(token));
    catch_unwind(AssertUnwindSafe(find)).ok().flatten().map_or(-1, i64::from)
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_role_id(
    tokenizer: *const Tokenizer,
    role: TacitSlice,
) -> i64 {
    let tokenizer = &*tokenizer;
    let find =
        || role.text("role").ok().and_then(|role| tokenizer.role_id(role));
    catch_unwind(AssertUnwindSafe(find)).ok().flatten().map_or(-1, i64::from)
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_token_of(
    tokenizer: *const Tokenizer,
    id: u32,
    out: *mut TacitBytes,
    error: *mut TacitBytes,
) -> i32 {
    let tokenizer = &*tokenizer;
    guard(error, || {
        let token = tokenizer.token_of(id).ok_or_else(|| {
            Error::not_found(format!("the vocabulary has no token {id}"))
        })?;
        out.write(TacitBytes::new(token));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: TacitSlice,
    add_special: bool,
    parse_special: bool,
    out: *mut TacitIds,
    error: *mut TacitBytes,
) -> i32 {
    let tokenizer = &*tokenizer;
    guard(error, || {
        let mode = if parse_special { Mode::Parse } else { Mode::Plain };
        out.write(TacitIds::new(tokenizer.encode(
            text.text("text")?,
            add_special,
            mode,
        )?));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_encode_pair(
    tokenizer: *const Tokenizer,
    first: TacitSlice,
    second: TacitSlice,
    out: *mut TacitPair,
    error: *mut TacitBytes,
) -> i32 {
    let tokenizer = &*tokenizer;
    guard(error, || {
        let (ids, segments) = tokenizer
            .encode_pair(first.text("text")?, second.text("second text")?)?;
        out.write(TacitPair {
            ids: TacitIds::new(ids),
            segments: TacitIds::new(segments),
        });
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_decode(
    tokenizer: *const Tokenizer,
    ids: *const u32,
    size: usize,
    skip_special: bool,
    out: *mut TacitBytes,
    error: *mut TacitBytes,
) -> i32 {
    let tokenizer = &*tokenizer;
    guard(error, || {
        let ids =
            if size == 0 { &[] } else { std::slice::from_raw_parts(ids, size) };
        out.write(TacitBytes::new(tokenizer.decode(ids, skip_special)?));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_render_chat(
    tokenizer: *const Tokenizer,
    chat: TacitSlice,
    now: i64,
    out: *mut TacitBytes,
    error: *mut TacitBytes,
) -> i32 {
    let tokenizer = &*tokenizer;
    guard(error, || {
        let chat = Chat::parse(chat.text("chat")?, now)?;
        out.write(TacitBytes::new(tokenizer.render_chat(&chat)?));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tacit_tokenizer_encode_chat(
    tokenizer: *const Tokenizer,
    chat: TacitSlice,
    now: i64,
    out: *mut TacitIds,
    error: *mut TacitBytes,
) -> i32 {
    let tokenizer = &*tokenizer;
    guard(error, || {
        let chat = Chat::parse(chat.text("chat")?, now)?;
        out.write(TacitIds::new(tokenizer.encode_chat(&chat)?));
        Ok(())
    })
}

#[no_mangle]
pub extern "C" fn tacit_decode_stream_new(
    skip_special: bool,
) -> *mut DecodeStream {
    Box::into_raw(Box::new(DecodeStream::new(skip_special)))
}

#[no_mangle]
pub unsafe extern "C" fn tacit_decode_stream_free(stream: *mut DecodeStream) {
    if !stream.is_null() {
        drop(Box::from_raw(stream));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tacit_decode_stream_step(
    stream: *mut DecodeStream,
    tokenizer: *const Tokenizer,
    id: u32,
    out: *mut TacitBytes,
    error: *mut TacitBytes,
) -> i32 {
    let (stream, tokenizer) = (&mut *stream, &*tokenizer);
    guard(error, || {
        out.write(TacitBytes::new(stream.step(tokenizer, id)?));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tacit_decode_stream_finish(
    stream: *mut DecodeStream,
    tokenizer: *const Tokenizer,
    out: *mut TacitBytes,
    error: *mut TacitBytes,
) -> i32 {
    let (stream, tokenizer) = (&mut *stream, &*tokenizer);
    guard(error, || {
        out.write(TacitBytes::new(stream.finish(tokenizer)?));
        Ok(())
    })
}
